"""A folder appears with all of its files, or not at all."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from pipeline.errors import RunHeldError, StorageError
from pipeline.storage.new_folder import build_folder


def list_all(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("there", [False, True])
def test_files_appear_together(tmp_path: Path, there: bool) -> None:
    out = tmp_path / "out"
    if there:
        (out / "part").mkdir(parents=True)
        (out / "README.md").write_text("old")
        (out / "mine").touch()
    with build_folder(out) as folder:
        assert folder.name == out.name
        (folder / "part").mkdir()
        (folder / "part" / "rows").touch()
        (folder / "README.md").write_text("new")
        assert not (out / "part" / "rows").exists()
    mine = ["mine"] if there else []
    assert list_all(tmp_path) == ["out", *(f"out/{name}" for name in ["README.md", *mine, "part", "part/rows"])]
    assert (out / "README.md").read_text() == "new"


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), ValueError("a bug")])
@pytest.mark.parametrize("there", [False, True])
def test_what_fails_leaves_nothing(tmp_path: Path, fault: BaseException, there: bool) -> None:
    out = tmp_path / "out"
    if there:
        out.mkdir()
        (out / "README.md").write_text("old")
    before = list_all(tmp_path)
    expected = StorageError if isinstance(fault, OSError) else type(fault)

    def build() -> None:
        with build_folder(out) as folder:
            (folder / "README.md").write_text("new")
            raise fault

    with pytest.raises(expected):
        build()
    assert list_all(tmp_path) == before
    assert not there or (out / "README.md").read_text() == "old"


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = os.fork()
    if not child:
        with build_folder(out) as folder:
            (folder / "left").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not out.exists()
    with build_folder(out) as folder:
        (folder / "rows").touch()
    assert list_all(tmp_path) == ["out", "out/rows"]


def test_two_do_not_build_one_folder(tmp_path: Path) -> None:
    with build_folder(tmp_path / "out") as folder:
        with pytest.raises(RunHeldError), build_folder(tmp_path / "out"):
            pass
        (folder / "rows").touch()
    assert list_all(tmp_path) == ["out", "out/rows"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(StorageError), build_folder(tmp_path / "out"):
        pass
    assert list_all(tmp_path) == ["out"]


@pytest.mark.parametrize("out", [".", "..", "new/..", "../beside", "link", "dangling"])
def test_folders_of_any_spelling_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    work = tmp_path / "parent" / "work"
    (work / "run").mkdir(parents=True)
    (work / "run" / "rows").touch()
    (tmp_path / "real").mkdir()
    (work / "link").symlink_to(tmp_path / "real")
    (work / "dangling").symlink_to(tmp_path / "later")
    monkeypatch.chdir(work)
    before, identity = list_all(tmp_path), work.stat().st_ino
    with build_folder(Path(out)) as folder:
        (folder / "new rows").touch()
    assert (Path(out).resolve() / "new rows").is_file()
    added = {name for name in list_all(tmp_path) if name not in before}
    assert {Path(name).name for name in added} <= {"new rows", "beside", "later"}
    assert set(before) <= set(list_all(tmp_path))
    assert work.stat().st_ino == identity


def test_the_root_has_no_name() -> None:
    with pytest.raises(StorageError), build_folder(Path("/")):
        pass
