"""Schema, reference and catalogue: every number has a unit, every figure a source."""

import json
import tomllib

import jsonschema
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from sim.cli import app
from sim.scenario import catalogue
from sim.scenario.load import SHEETS
from sim.scenario.reference import _models, markdown
from sim.scenario.scenario import ScenarioFile
from sim.studies.buildout.question import BuildoutQuestion
from sim.studies.experiment import Experiment
from tests.conftest import ROOT


def every_model(model: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [m for f in model.model_fields.values() for m in _models(f.annotation)]
    return [model, *(x for m in inner for x in every_model(m))]


def test_every_number_has_a_unit_and_every_default_a_source() -> None:
    models = [m for top in (ScenarioFile, *SHEETS.values()) for m in every_model(top)]
    for model in models:
        for name, field in model.model_fields.items():
            if name == "model" and isinstance(field.default, str):
                continue
            extra = field.json_schema_extra
            assert isinstance(extra, dict), f"{model.__name__}.{name} is not a quantity"
            assert field.description, f"{model.__name__}.{name} has no meaning"
            number = "float" in str(field.annotation) or "int" in str(field.annotation)
            number = number and "str | int" not in str(field.annotation)  # as it stands in a file
            if number and not _models(field.annotation):
                assert extra["unit"], f"{model.__name__}.{name} has no unit"
                if isinstance(field.default, int | float):
                    assert extra["source"], f"{model.__name__}.{name} has no source"


def test_shipped_scenarios_satisfy_the_json_schema() -> None:
    schema = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    validator = jsonschema.Draft202012Validator(schema)
    tables = tomllib.loads((ROOT / "configs/tiny/scenario.toml").read_text())
    tables["prices"] = {"zones": {"west": {"model": "seasonal-jump", "profile": "ercot-west"}}}
    tables["horizon"]["start_utc"] = "2026-01-01T00:00:00Z"
    validator.validate(tables)
    tables["horizon"]["dayz"] = 3
    assert not validator.is_valid(tables)


def test_the_reference_is_up_to_date() -> None:
    """`hashwatt schema --markdown > docs/scenario.md`"""
    assert (ROOT / "docs/scenario.md").read_text() == markdown()


@pytest.mark.parametrize(
    ("kind", "model", "shipped"),
    [
        ("experiment", Experiment, ["policies-tiny", "treasury-by-power"]),
        ("buildout", BuildoutQuestion, ["gpu-buildout"]),
    ],
)
def test_experiments_and_build_outs_have_a_schema_and_a_reference(
    kind: str, model: type[BaseModel], shipped: list[str]
) -> None:
    """`hashwatt schema KIND --markdown > docs/KIND.md`"""
    schema = json.loads(CliRunner().invoke(app, ["schema", kind]).stdout)
    validator = jsonschema.Draft202012Validator(schema)
    for name in shipped:
        content = tomllib.loads((ROOT / f"experiments/{name}.toml").read_text(encoding="utf-8"))
        validator.validate(content)
        assert not validator.is_valid({**content, "secnario": 1})
    reference = CliRunner().invoke(app, ["schema", kind, "--markdown"])
    assert (ROOT / f"docs/{kind}.md").read_text(encoding="utf-8") == reference.stdout
    for table in every_model(model):
        for name, field in table.model_fields.items():
            assert field.description, f"{table.__name__}.{name} has no meaning"
            if not _models(field.annotation):
                assert f"| `{name}` |" in reference.stdout
    refused = CliRunner().invoke(app, ["schema", "plan"])
    assert refused.exit_code == 2
    assert "allowed: scenario, experiment, buildout" in refused.stderr


def test_catalogue_rows_have_sources_and_make_sense() -> None:
    for model in catalogue.asics().values():
        for mode in model.modes.values():
            assert mode.source
            assert 5 < mode.power_w / mode.hashrate_ths < 120
        assert model.cooling in catalogue.cooling()
    for gpu in catalogue.gpus().values():
        assert gpu.source
        assert gpu.idle_w_per_gpu < gpu.max_w_per_gpu
    assert all(c.source for c in catalogue.cooling().values())
