"""The wall clock is set in mid-run, an hour forward and two back: no session ends early, no call gets longer, no byte
changes.

Ours and Prefect's processes see the jump through a small library that stands before the C library's clocks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.configuration.run_context import RunContext
from flows.models import usage
from flows.models.usage import begin_session, find_clock, open_budget
from pipeline.llm.chat_model import BudgetSpentError
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.live import StageLive
from tests.runs.test_llm_interruption import list_words, wait_for_calls
from tests.runs.test_llm_run import answer
from tests.runs.test_whole_run import hash_shards
from tests.support.command_line import rampforge, start
from tests.support.fault_server import FaultServer

HOUR = 3600
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Seconds that the wall clock is off by: what stands in the file that WALL_CLOCK names. */
static long read_shift(void) {
    char text[32] = {0};
    const char *path = getenv("WALL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    long count = read(file, text, sizeof text - 1);
    close(file);
    return count > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += read_shift();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int failed = real(now, zone);
    if (!failed)
        now->tv_sec += read_shift();
    return failed;
}

time_t time(time_t *place) {
    time_t (*real)(time_t *) = dlsym(RTLD_NEXT, "time");
    time_t now = real(0) + read_shift();
    if (place)
        *place = now;
    return now;
}
"""


class WallClock:
    """The wall clock of the processes that run in `environment`."""

    def __init__(self, folder: Path) -> None:
        library, source, self._shift = folder / "clock.so", folder / "clock.c", folder / "shift"
        source.write_text(CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        self.set(0)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK": str(self._shift)}

    def set(self, shift: int) -> None:
        """Let it be off by so many seconds from now on."""
        new = self._shift.with_suffix(".new")
        new.write_text(str(shift))
        new.replace(self._shift)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_clock_that_is_set_in_mid_run_changes_nothing(tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    home = {"PREFECT_HOME": str(tmp_path / "prefect"), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "0"}
    calm = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | home
    with FaultServer(latency=0.7) as model:
        model.answer = answer
        words = [*list_words(tmp_path, model.url), "--set", "llm.budget.hours=0.5", "--set", "llm.in_flight=2"]
        began = time.monotonic()
        process = start(calm | clock.environment, *words)
        for answered, shift in ((4, HOUR), (16, -HOUR)):
            wait_for_calls(model, process, answered)
            clock.set(shift)
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output
        took = time.monotonic() - began
        assert "nothing comes any more" not in output, "and nothing has stalled"
        record = json.loads((tmp_path / "run" / "run.json").read_bytes())
        (tmp_path / "run").rename(tmp_path / "jumped")
        code, undisturbed = rampforge(calm, *words)
        assert code == 0, undisturbed
    assert hash_shards(tmp_path / "jumped") == hash_shards(tmp_path / "run")
    spent = sum(role["seconds"] for role in record["spending"]["roles"])
    assert 36 * 0.7 <= spent < 36 * 0.7 + 2 * took, "a call takes as long as it takes"
    assert record["spending"]["busy_seconds"] < took
    assert sum(timing["seconds"] for timing in record["timings"]) < took


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_hours_are_those_that_passed(jump: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walls, steady = 1_800_000_000.0, 50.0
    monkeypatch.setattr(usage, "time", SimpleNamespace(time=lambda: walls, monotonic=lambda: steady))
    run, config = RunFolder(tmp_path), RunConfig.model_validate({"llm": {"budget": {"hours": 0.5}}})
    (tmp_path / "calls").mkdir()
    begin_session(run)
    budget = open_budget(RunContext(run, config, tmp_path))
    walls += jump
    steady += HOUR / 2 - 1
    budget.reserve()
    clock = find_clock(run)
    assert clock is not None
    assert clock() == 1_800_000_000.0 + HOUR / 2 - 1, "a process started after the jump counts from the same moment"
    steady += 1
    with pytest.raises(BudgetSpentError, match=r"cap of 0\.5 hours"):
        budget.reserve()


def test_a_session_noted_by_an_earlier_version_is_no_session(tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "session.txt").write_text("1800000000.0")
    assert find_clock(RunFolder(tmp_path)) is None


@pytest.mark.parametrize(("later", "stale"), [(1, False), (30, True), (-HOUR, True)])
def test_a_record_of_a_dead_job_is_old_after_the_clock_was_set_back(later: int, stale: bool) -> None:
    named = {"run": "r", "stage": "s", "unit": "u", "pid": 1, "at": 1000.0, "seconds": 1.0, "total": 1, "done": 0}
    rest = {"done_now": 0, "rate": 0.0, "accepted_share": None, "seconds_left": None, "shards": 0}
    assert StageLive.model_validate(named | rest).is_stale(1000.0 + later) is stale
