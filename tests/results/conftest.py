"""Runs that use everything, stored once for all twins."""

import pytest

from tests.builders.stored_runs import RUNS, Stored, made


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stored]:
    folder = tmp_path_factory.mktemp("twin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HASHWATT_CACHE", str(folder / "cache"))
        return {kind: Stored(made(kind, folder)) for kind in RUNS}
