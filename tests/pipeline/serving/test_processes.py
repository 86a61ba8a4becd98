"""Child processes: ended with all their descendants, whether we end well or are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.serving.bound_process import BoundProcess

FAMILY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""
STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text("0")
time.sleep(600)
"""
# A job in the background of a shell is born deaf to Ctrl-C, and so is all that it starts.
PARENT = """
import os, signal, sys, time
from pipeline.serving.bound_process import BoundProcess
signal.signal(signal.SIGINT, signal.default_int_handler)
process = BoundProcess([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ)
print(process.pid, flush=True)
time.sleep(600)
"""


def wait_for(met: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if met():
            return True
        time.sleep(0.02)
    return met()


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_stop_reaches_grandchildren(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serving.bound_process.GRACE_SECONDS", 0.2)
    told = tmp_path / "pid"
    with BoundProcess([sys.executable, "-c", FAMILY, str(told)], os.environ) as process:
        assert wait_for(lambda: told.exists() and told.read_text() != "")
    assert wait_for(lambda: is_gone(process.pid) and is_gone(int(told.read_text())))
    process.stop()  # once more does no harm


def test_grandchildren_of_a_dead_child_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serving.bound_process.GRACE_SECONDS", 0.2)
    told = tmp_path / "pid"
    with BoundProcess([sys.executable, "-c", FAMILY, str(told)], os.environ) as process:
        assert wait_for(lambda: told.exists() and told.read_text() != "")
        os.kill(process.pid, 9)
        assert process.wait(20) == -9
    assert wait_for(lambda: is_gone(int(told.read_text())))


def test_what_ignores_us_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.serving.bound_process.STOP_SECONDS", 0.3)
    told = tmp_path / "ready"
    with BoundProcess([sys.executable, "-c", STUBBORN, str(told)], os.environ) as process:
        assert wait_for(told.exists)
    assert process.poll() == -9


@pytest.mark.parametrize("child_is_dead", [False, True])
@pytest.mark.parametrize("signal_number", [9, 2])
def test_a_killed_parent_takes_its_child_along(signal_number: int, child_is_dead: bool, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, FAMILY, str(told)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    assert wait_for(lambda: told.exists() and told.read_text() != "")
    if child_is_dead:
        os.kill(pid, 9)
    parent.send_signal(signal_number)
    parent.communicate()
    assert wait_for(lambda: is_gone(pid) and is_gone(int(told.read_text())))
