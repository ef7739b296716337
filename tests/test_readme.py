"""The README's Python runs, and says what it shows."""

import re
import runpy
from pathlib import Path

import pytest

from tests.conftest import ROOT


def test_the_code_of_the_readme_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    policies = re.findall(r"class \w+:.*?return[^\n]*", "\n".join(blocks), re.S)
    assert policies
    assert all(len(policy.splitlines()) <= 15 for policy in policies)
    for block in blocks:
        (tmp_path / "readme.py").write_text(block)
        runpy.run_path(str(tmp_path / "readme.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    margins = [int(line.split()[-1]) for line in lines[:3]]
    assert margins == sorted(margins)
