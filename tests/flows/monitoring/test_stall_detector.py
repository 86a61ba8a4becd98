"""A stall is told once, with what is known of it, and so is its end; slowness and idleness are none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flows.monitoring.stall_detector import FIRST_REPLY, SHORTEST_STALL, STAGE_STALL, STALL_TIMES, StallDetector
from schemas.live import EndpointLive


def make_endpoint(answered: int, in_flight: int = 4, faults: int = 0, usual: float = 2.0) -> EndpointLive:
    return EndpointLive(
        name="here",
        in_flight=in_flight,
        limit=8,
        waiting=0,
        answered=answered,
        faults=faults,
        usual_seconds=usual,
        last_fault="TimeoutError" if faults else "",
    )


def watch_silence(seconds: float, endpoint: EndpointLive) -> list[str]:
    """What is said while an endpoint stays as it is."""
    watch = StallDetector("trajectories", 0.0)
    return [line for tick in range(int(seconds)) for line in watch.note(tick, tick, [endpoint])]


def test_a_stall_is_reported_once_and_so_is_its_end() -> None:
    watch = StallDetector("trajectories", 0.0)
    said = [line for tick in range(100) for line in watch.note(tick, 0, [make_endpoint(7, faults=3)])]
    assert said == [
        "trajectories: no reply from here for 21 s (4 in flight, 0 waiting, 2.0 s is usual); last error: TimeoutError"
    ]
    assert list(watch.stalled) == ["here"]
    assert list(watch.note(100, 0, [make_endpoint(8)])) == ["trajectories: here answers again after 100 s"]
    assert list(watch.stalled) == []
    assert list(watch.note(101, 0, [make_endpoint(9)])) == []


def test_slowness_is_no_stall() -> None:
    assert watch_silence(STALL_TIMES * 2.0, make_endpoint(7)) == []
    assert watch_silence(SHORTEST_STALL, make_endpoint(7, usual=0.01)) == []
    assert watch_silence(FIRST_REPLY, make_endpoint(0, usual=0.0)) == []
    assert len(watch_silence(FIRST_REPLY + 3, make_endpoint(0, usual=0.0))) == 1


def test_an_idle_endpoint_is_not_stalled_but_one_that_only_fails_is() -> None:
    assert watch_silence(100, make_endpoint(7, in_flight=0)) == []
    watch = StallDetector("trajectories", 0.0)
    said = [line for tick in range(60) for line in watch.note(tick, 0, [make_endpoint(7, in_flight=0, faults=tick)])]
    assert len(said) == 1, "requests that pause between two tries are owed a reply too"


def test_a_stage_without_models_is_watched_too() -> None:
    watch = StallDetector("chunk", 0.0)
    ticks = range(int(STAGE_STALL) * 3)
    said = [line for tick in ticks for line in watch.note(tick, 5, [])]
    assert said == ["chunk: nothing finished for 121 s"]
    assert list(watch.note(400, 6, [])) == ["chunk: continues after 400 s"]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=200))
def test_no_stall_is_reported_twice_in_a_row(steps: list[int]) -> None:
    watch = StallDetector("trajectories", 0.0)
    answered, now, said = 0, 0.0, []
    for step in steps:
        answered += step == 2
        now += 7.0
        said += [line for line in watch.note(now, answered, [make_endpoint(answered)]) if "here" in line]
    kinds = ["again" in line for line in said]
    assert kinds == [number % 2 == 1 for number in range(len(kinds))]
