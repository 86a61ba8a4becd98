"""Progress is counted from the journals, so it must never count twice or go back."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from rich.console import Console

from flows import progress
from flows.progress import JournalCounter, ProgressBoard, StallWatch
from pipeline.storage.run_folder import RunFolder


def test_counts_open_journals_and_committed_shards_once(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    counter = JournalCounter(run, "cut")
    assert counter.count() == 0
    path = run.journal("cut", "000")
    path.parent.mkdir(parents=True)
    path.write_text("{}\n{}\n{half")
    assert counter.count() == 2
    with path.open("a") as file:
        file.write(" line}\n")
    assert counter.count() == 3
    counter.commit("000", 3)
    assert counter.count() == 3, "the journal may still be there when its shard is committed"
    path.unlink()
    assert counter.count() == 3


def test_plain_lines_without_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", 0.01)
    printed = io.StringIO()
    board = ProgressBoard(Console(file=printed, width=120))
    with board.stage(RunFolder(tmp_path), "cut", "document", 8) as counter:
        counter.commit("000", 4)
        threading.Event().wait(0.2)
        counter.commit("001", 4)
    lines = printed.getvalue().splitlines()
    assert any(line.startswith("cut: 4/8 documents") for line in lines)
    assert "done cut" in lines[-1]
    assert "8 documents" in lines[-1]


def test_a_stall_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "STALL_SECONDS", -1.0)
    printed = io.StringIO()
    watch = StallWatch(Console(file=printed), "spans")
    watch.note(3)
    watch.note(3)
    watch.note(3)
    assert printed.getvalue().count("nothing finished") == 1
