"""Files shipped with hashwatt: the scenarios of configs/ and the questions of experiments/.

In a clone they lie next to the package; a wheel contains the same files (setup.py).
"""

from pathlib import Path
from typing import Final

from sim.scenario.problems import suggest

_CLONE: Final = Path(__file__).parents[2]
ROOT: Final = _CLONE if (_CLONE / "configs").is_dir() else Path(__file__).parents[1] / "shipped"
CONFIGS: Final = ROOT / "configs"
EXPERIMENTS: Final = ROOT / "experiments"


def scenarios() -> list[str]:
    """Names of the shipped scenarios."""
    return sorted(file.parent.name for file in CONFIGS.glob("*/scenario.toml"))


def experiments() -> list[str]:
    """Names of the shipped experiment files."""
    return sorted(file.stem for file in EXPERIMENTS.glob("*.toml"))


def scenario_folder(name: str | Path, beside: Path = Path()) -> Path:
    """A folder relative to `beside`, or else the shipped scenario of that name."""
    folder = beside / name
    return CONFIGS / name if str(name) in scenarios() and not folder.exists() else folder


def not_found(name: str | Path, where: str = "") -> str:
    """Alternatives to a missing scenario, for messages; `where` says where folders are searched."""
    place = f" {where}" if where else ""
    return f"no such folder{place}; {suggest(Path(name).name, scenarios())}, or a folder{place}"
