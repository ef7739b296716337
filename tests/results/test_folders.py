"""Nothing is ever lost: who owns an output folder, what is replaced, and what a kill leaves."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sim.results import folder as room
from sim.results.folder import FolderBusyError, claim, free_name, settle
from sim.results.manifest import DamagedError, ours
from sim.results.store import open_results


def write(target: Path, text: str, cell: str = "a", names: tuple[str, ...] = ("x", "y")) -> None:
    with claim(target, "run", cell, force=True) as claimed:
        for name in names:
            (claimed.draft / name).parent.mkdir(parents=True, exist_ok=True)
            (claimed.draft / name).write_text(text)
        claimed.commit({"scenario": "tiny"})


def content(target: Path) -> dict[str, str]:
    files = (f for f in target.rglob("*") if f.is_file())
    return {f.relative_to(target).as_posix(): f.read_text(encoding="utf-8") for f in files}


def test_a_result_is_replaced_whole_and_nothing_else_is_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "old", names=("x", "cells/k/y", "z"))
    (out / "notes.txt").write_text("mine")
    (out / "cells" / "mine").mkdir()
    (out / "cells" / "mine" / "x").write_text("mine")
    write(out, "new", names=("x", "w"))
    there = content(out)
    manifest = json.loads(there.pop("manifest.json"))
    assert there == {"x": "new", "w": "new", "notes.txt": "mine", "cells/mine/x": "mine"}
    assert manifest["files"] == ["w", "x"]
    with claim(out, "run", "a") as claimed:
        (claimed.draft / "notes.txt").write_text("ours")
        with pytest.raises(FileExistsError, match="stands in the way"):
            claimed.commit({})
    assert (out / "notes.txt").read_text() == "mine"
    assert content(out)["x"] == "new"


@pytest.mark.parametrize(
    "manifest",
    [
        '{"manifest_version": 3, "name": "an extension of a browser"}',
        '{"status": "complete", "kpis": {}}',
        '{"kind": "run", "format": 1}',
        '{"kind": "run", "format": 99, "files": []}',
        '{"kind": "run", "format": 1, "files": ["../thesis.txt"]}',
        '{"kind": "run", "format": 1, "files": ["C:\\\\thesis.txt"]}',
        "[]",
        "{",
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_not_surely_ours_is_refused(
    tmp_path: Path, manifest: str, force: bool
) -> None:
    out = tmp_path / "site"
    out.mkdir()
    (tmp_path / "thesis.txt").write_text("years of work")
    (out / "manifest.json").write_text(manifest)
    (out / "index.html").write_text("<p>")
    before = content(tmp_path)
    with (
        pytest.raises(FileExistsError, match="not a result folder"),
        claim(out, "run", "a", force=force),
    ):
        pass
    assert content(tmp_path) == before


def test_another_cell_or_kind_needs_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "old")
    with pytest.raises(FileExistsError, match="holds another result"), claim(out, "run", "b"):
        pass
    with (
        pytest.raises(FileExistsError, match="not the folder of a sweep, but of a run"),
        claim(out, "sweep", "a", go_on=True),
    ):
        pass
    assert content(out)["x"] == "old"
    assert free_name(tmp_path, "out", "run", "a") == out
    assert free_name(tmp_path, "out", "run", "b" * 64) == tmp_path / "out-bbbbbbbb"
    assert free_name(tmp_path, "new", "run", "b" * 64) == tmp_path / "new"
    assert free_name(tmp_path, "new", "run", "b" * 64, changed=True).name == "new-bbbbbbbb"


class _KilledError(BaseException):
    """Stands for a kill: nothing that handles errors sees it."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kill after so many renames and removals: `steps[0]` is how many are left."""
    left = [10**9]

    def counted(what):  # type: ignore[no-untyped-def]  # stands for either of two functions
        def call(*arguments, **named):  # type: ignore[no-untyped-def]
            left[0] -= 1
            if left[0] < 0:
                raise _KilledError
            return what(*arguments, **named)

        return call

    monkeypatch.setattr(os, "replace", counted(os.replace))
    monkeypatch.setattr(room, "_remove", counted(room._remove))
    return left


def test_a_kill_between_any_two_renames_loses_neither_old_nor_new(
    tmp_path: Path, steps: list[int]
) -> None:
    seen = set()
    for kill_after in range(40):
        out = tmp_path / str(kill_after)
        write(out, "old", names=("x", "y", "z"))
        (out / "notes.txt").write_text("mine")
        steps[0] = kill_after
        try:
            write(out, "new", names=("w", "x", "y"))
        except _KilledError:
            pass
        else:
            assert seen == {"old", "new"}
            return
        finally:
            steps[0] = 10**9
        settle(out)
        there = content(out)
        assert there.pop("notes.txt") == "mine"
        files = json.loads(there.pop("manifest.json"))["files"]
        there = {name: text for name, text in there.items() if not name.startswith(".hashwatt")}
        assert sorted(there) == files
        assert len(set(there.values())) == 1
        seen |= set(there.values())
        write(out, "again")
        assert {f.name for f in out.iterdir()} == {"manifest.json", "notes.txt", "x", "y"}
    pytest.fail("the loop should have reached a write without a kill")


def opened_by_query(out: Path) -> None:
    open_results(out)


def opened_by_default_name(out: Path) -> None:
    assert free_name(out.parent, out.name, "run", "a") == out


def opened_to_be_written(out: Path) -> None:
    with claim(out, "run", "a"):
        pass


def opened_to_go_on(out: Path) -> None:
    with claim(out, "run", "b", go_on=True):
        pass


@pytest.mark.parametrize(
    "opened", [opened_by_query, opened_by_default_name, opened_to_be_written, opened_to_go_on]
)
def test_whoever_opens_a_folder_finishes_what_a_kill_has_left(
    tmp_path: Path, steps: list[int], opened: Callable[[Path], None]
) -> None:
    left = 0
    for kill_after in range(40):
        out = tmp_path / str(kill_after)
        write(out, "old")
        steps[0] = kill_after
        with suppress(_KilledError):
            write(out, "new", names=("x",))
        steps[0] = 10**9
        half = not (out / "manifest.json").exists()
        left += half
        opened(out)
        if half:
            assert content(out).keys() == {"manifest.json", "x"}
            assert content(out)["x"] == "new"
    assert left


def test_a_kill_while_pictures_are_added_leaves_none_that_nobody_owns(
    tmp_path: Path, steps: list[int]
) -> None:
    def drawn(folder: Path) -> None:
        for name in ("a.png", "b.png"):
            (folder / name).write_text("whole")

    def run(out: Path) -> str:
        with claim(out, "run", "a") as claimed:
            (claimed.draft / "x").write_text("figures")
            claimed.commit({})
            return claimed.draw(drawn)

    for kill_after in range(40):
        out = tmp_path / str(kill_after)
        steps[0] = kill_after
        try:
            run(out)
        except _KilledError:
            steps[0] = 10**9
        else:
            break
        assert run(out) == ""
        assert content(out).keys() == {"manifest.json", "x", "a.png", "b.png"}
    assert kill_after > 5


@pytest.mark.parametrize(
    "manifest",
    [
        '{"kind": "run", "format": 1, "files": ["../../victim.txt"]}',
        '{"kind": "run", "format": 1}',
        "{",
    ],
)
@pytest.mark.parametrize("place", ["ready/manifest.json", "replaced.json"])
def test_what_we_did_not_leave_there_is_not_put_in_place(
    tmp_path: Path, manifest: str, place: str
) -> None:
    out = tmp_path / "sent" / "result"
    write(out, "old")
    (out / ".hashwatt" / "ready").mkdir(parents=True)
    (out / ".hashwatt" / place).write_text(manifest)
    (out / "victim.txt").write_text("theirs")
    (tmp_path / "sent" / "victim.txt").write_text("mine")
    (tmp_path / "victim.txt").write_text("mine")
    for refused in (lambda: settle(out), lambda: write(out, "new")):
        with pytest.raises(DamagedError, match="damaged"):
            refused()
    assert content(tmp_path / "sent")["victim.txt"] == "mine"
    assert content(tmp_path)["victim.txt"] == "mine"
    assert content(out)["x"] == "old"


def test_a_folder_in_use_is_told_by_its_owner_and_a_dead_owner_counts_for_nothing(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    write(out, "old")
    with claim(out, "run", "a"):
        before = content(out)
        told = rf"by process {os.getpid()} on .* since 20"
        with pytest.raises(FolderBusyError, match=told), claim(out, "run", "a"):
            pass
        assert content(out) == before
    hidden = out / ".hashwatt"
    (hidden / "draft").mkdir(parents=True)
    (hidden / "draft" / "x").write_text("half")
    (hidden / "lock").touch()
    (hidden / "owner.json").write_text('{"pid": 1, "host": "gone", "since": "2020"}')
    write(out, "new")
    assert {f.name for f in out.iterdir()} == {"manifest.json", "x", "y"}


def test_links_stay_links_and_nothing_is_written_through_others(tmp_path: Path) -> None:
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    elsewhere.mkdir()
    out = tmp_path / "out"
    out.symlink_to(disk, target_is_directory=True)
    write(out, "old", names=("cells/k/x",))
    assert out.is_symlink()
    assert (disk / "cells/k/x").read_text() == "old"
    write(out, "new", names=("y",))
    (disk / "cells").symlink_to(elsewhere, target_is_directory=True)
    with claim(out, "run", "a") as claimed:
        (claimed.draft / "cells").mkdir()
        (claimed.draft / "cells" / "x").write_text("new")
        with pytest.raises(FileExistsError, match="a link out of the result folder"):
            claimed.commit({})
    assert list(elsewhere.iterdir()) == []
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    told = "a link to a folder that is not there"
    with pytest.raises(FileExistsError, match=told), claim(tmp_path / "dangling", "run", "a"):
        pass
    (disk / ".hashwatt").mkdir()
    (disk / ".hashwatt" / "draft").symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(FileExistsError, match="draft is a link"), claim(out, "run", "a"):
        pass
    assert list(elsewhere.iterdir()) == []
    assert not ours(elsewhere)


def test_what_is_renamed_to_its_place_is_on_the_disk_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: dict[tuple[int, int], int] = {}  # sizes by file, as they were flushed
    renamed = []

    def identity(status: os.stat_result) -> tuple[int, int]:
        return status.st_dev, status.st_ino

    def fsync(opened: int) -> None:
        status = os.fstat(opened)
        flushed[identity(status)] = status.st_size

    def replace(source: Path, target: Path) -> None:
        for file in [source] if source.is_file() else source.rglob("*"):
            status = file.stat()
            if file.is_file():
                renamed.append(file.name)
                assert flushed.get(identity(status)) == status.st_size, file
        rename(source, target)

    rename = os.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    with claim(tmp_path / "out", "run", "a") as claimed:
        (claimed.draft / "cells/k").mkdir(parents=True)
        for name in ("x", "cells/k/y"):
            (claimed.draft / name).write_text(name)
        claimed.commit({})
        assert claimed.draw(lambda folder: (folder / "z.png").write_text("z")) == ""  # type: ignore[arg-type,return-value]  # how much was written
    assert {"x", "y", "z.png", "manifest.json"} <= set(renamed)
    if os.name != "nt":
        folders = (tmp_path / "out", tmp_path / "out/cells/k")
        assert all(identity(folder.stat()) in flushed for folder in folders)


def test_a_failed_block_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claim(tmp_path / "new", "run", "a"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_fails_is_told_and_costs_nothing(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "half.png").write_text("half")
        raise ValueError("an axis\nwithout end")

    def drawn(folder: Path) -> None:
        (folder / "whole.png").write_text("whole")

    with claim(tmp_path / "out", "run", "a") as claimed:
        (claimed.draft / "x").write_text("figures")
        claimed.commit({})
        assert claimed.draw(broken) == "ValueError: an axis without end"
        assert claimed.draw(drawn) == ""
    assert set(content(tmp_path / "out")) == {"manifest.json", "x", "whole.png"}
    assert ours(tmp_path / "out")["files"] == ["whole.png", "x"]


def test_the_place_of_drafts_is_no_place_for_a_result(tmp_path: Path) -> None:
    with (
        pytest.raises(FileExistsError, match="kept for drafts"),
        claim(tmp_path / "out/.hashwatt/ready", "run", "a"),
    ):
        pass
