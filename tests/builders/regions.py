"""Regions for tests of worlds that lie in none."""

from datetime import UTC, datetime
from typing import Final

from sim.streams import Streams
from sim.world.region import Regions

NOWHERE: Final = Regions(datetime(2026, 1, 1, tzinfo=UTC), 3600, Streams(1))
