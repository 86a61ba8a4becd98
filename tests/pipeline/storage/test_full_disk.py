"""A disk that is full, and a clock that jumps: one clear line, and the same bytes once that is mended."""

from __future__ import annotations

import errno
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.remote.open_run import open_run
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from schemas.documents import Redirect
from schemas.store_config import StoreConfig
from tests.pipeline.storage.test_remote_run import do_stage, read_folder, read_store
from tests.pipeline.storage.test_shards import RedirectStage, Title
from tests.support.s3_server import s3, s3_server

__all__ = ["s3", "s3_server"]

MANY = [Title(f"{number:05d}") for number in range(6000)]
MOUNT = ("mount", "-t", "tmpfs", "-o")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A disk of 400 kB, and a way to enlarge it."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        subprocess.run([*MOUNT, "size=400k", "tmpfs", str(place)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk can be mounted by root only")
    enlarge = [*MOUNT, "remount,size=40m", "tmpfs", str(place)]

    def make_room() -> None:
        subprocess.run(enlarge, check=True)

    yield place, make_room
    subprocess.run(["umount", str(place)], check=True)


def work(root: Path) -> None:
    run_shard(ShardPlan(RunFolder(root), "demo", "000", (Redirect,), {"stage": "demo"}), RedirectStage(), MANY)


def test_full_disk_stops_the_shard_and_more_room_lets_it_end_the_same(
    small_disk: tuple[Path, Callable[[], None]], tmp_path: Path
) -> None:
    disk, enlarge = small_disk
    for _ in range(2):  # full it stays full: nothing is lost by trying again
        with pytest.raises(StorageError, match="the disk is full") as caught:
            work(disk / "run")
        assert "rampforge resume" in caught.value.fix
    finished = sum(1 for _ in (disk / "run" / "journals" / "demo" / "000.jsonl").open("rb"))
    assert finished > 100, "what was finished is kept"
    enlarge()
    work(disk / "run")
    work(tmp_path / "elsewhere")
    assert read_folder(disk / "run") == read_folder(tmp_path / "elsewhere")


def test_disk_that_fills_while_a_run_is_fetched_is_not_taken_for_the_store(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_stage(open_run(s3, tmp_path / "one", StoreConfig(lease=2)))
    reader = open_run(s3, tmp_path / "two", StoreConfig(lease=2))

    def fill(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "_fetch", fill)
        with pytest.raises(StorageError, match="this machine's disk"):
            reader.files("redirects")
    assert len(reader.files("redirects")) == 2


def test_clock_that_jumps_changes_no_byte(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    do_stage(RunFolder(tmp_path / "here"))
    now, jumps = time.time, cycle((0, 86_400, -86_400, 3_600))
    # S3's clients sign with datetime's clock, which this leaves alone: a store refuses a machine that is a day off.
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    do_stage(open_run(s3, tmp_path / "one", StoreConfig(lease=2)))
    do_stage(open_run(s3, tmp_path / "two", StoreConfig(lease=2)))
    do_stage(RunFolder(tmp_path / "again"))
    assert read_store(s3) == read_folder(tmp_path / "here") == read_folder(tmp_path / "again")
