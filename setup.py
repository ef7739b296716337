"""Everything is said in pyproject.toml, but for one thing that it has no word for.

A wheel also holds configs/ and experiments/*.toml, as sim/shipped: one source, no copies.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("configs/**/*", "experiments/*.toml")


class BuildWithScenarios(build_py):
    """Copies what is shipped beside the modules; an editable installation finds it in the clone."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        here = Path(__file__).parent
        files = (file for pattern in SHIPPED for file in sorted(here.glob(pattern)))
        for file in files:
            if file.is_file():
                target = Path(self.build_lib, "sim", "shipped", file.relative_to(here))
                self.mkpath(str(target.parent))
                self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithScenarios})
