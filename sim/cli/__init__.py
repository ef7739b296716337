"""The command line: the only room that prints or exits."""

# each registers its commands; in this order they stand in `hashwatt --help`
import sim.cli.run  # isort: skip
import sim.cli.check  # isort: skip
import sim.cli.new  # isort: skip
import sim.cli.studies  # isort: skip
import sim.cli.money  # isort: skip
import sim.cli.buildout  # isort: skip
import sim.cli.convert  # isort: skip
import sim.cli.query  # isort: skip
import sim.cli.serving  # isort: skip
import sim.cli.calibrate  # isort: skip
import sim.cli.recommend  # isort: skip
import sim.cli.series  # isort: skip
import sim.cli.validate  # isort: skip
import sim.cli.built_in  # isort: skip  # noqa: F401
from sim.cli.app import app, main

__all__ = ["app", "main"]
