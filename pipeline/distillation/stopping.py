"""Stop conditions of a distillation, and its best round: pure functions of the rounds' records."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.distill_config import DistillConfig, OnRegression, StopConfig
from schemas.rounds import RoundRecord


def find_best(records: Sequence[RoundRecord]) -> RoundRecord | None:
    """The round whose teacher has the highest validation recall, the first of equals; None before any is validated.

    Round 0 has no teacher, so it does not count.
    """
    taught = [record for record in records if record.validation and record.checkpoint]
    return max(taught, key=lambda record: (_recall(record), -record.number)) if taught else None


def measure_regression(records: Sequence[RoundRecord], recall: float, config: DistillConfig) -> float | None:
    """Recall lost against the best teacher before, untrained base included; None within the tolerance."""
    seen = [_recall(record) for record in records if record.validation]
    worse = max(seen, default=0.0) - recall
    return worse if worse > config.regression else None


def find_stop(records: Sequence[RoundRecord], config: DistillConfig) -> str | None:
    """The reason to start no further round; None to continue."""
    last, stop = records[-1], config.stop
    if last.regression is not None and config.on_regression is OnRegression.STOP:
        return f"the teacher lost {last.regression:.3f} of validation recall, more than {config.regression:g}"
    if not last.tasks:
        return "no task is left that no round has met: give it more pages, or raise masking.limit"
    done = f"all {config.rounds} rounds are done" if last.number >= config.rounds else None
    return (
        _reach_target(last, stop) or _fall_low(last, stop) or _stagnate(records, stop) or _spend(records, stop) or done
    )


def _recall(record: RoundRecord) -> float:
    return record.validation.recall if record.validation else 0.0


def _reach_target(last: RoundRecord, stop: StopConfig) -> str | None:
    if stop.recall is not None and last.number and _recall(last) >= stop.recall:
        return f"validation recall {_recall(last):.3f} reaches {stop.recall:g}"
    return None


def _fall_low(last: RoundRecord, stop: StopConfig) -> str | None:
    if not last.accepted:
        return f"nothing was accepted in round {last.number}: there is nothing new to train on"
    if last.accept_rate < stop.accept_rate:
        return f"accept rate {last.accept_rate:.1%} is below {stop.accept_rate:.1%}"
    distinct = last.diversity.distinct_2
    if distinct is not None and distinct < stop.diversity:
        return f"distinct word pairs of the thoughts, {distinct:.3f}, are below {stop.diversity:g}"
    return None


def _stagnate(records: Sequence[RoundRecord], stop: StopConfig) -> str | None:
    """Count the latest rounds without a gain over all rounds before them."""
    best, still = None, 0
    for record in records:
        if record.validation is None:
            continue
        if best is None or _recall(record) >= best + max(stop.min_gain, 1e-9):
            still = 0
        else:
            still += 1
        best = max(best or 0.0, _recall(record))
    if still >= stop.patience:
        return f"no gain on validation for {still} rounds"
    return None


def _spend(records: Sequence[RoundRecord], stop: StopConfig) -> str | None:
    hours = sum(step.seconds for record in records for step in record.seconds) / 3600
    for spent, cap, unit in (
        (sum(record.tokens for record in records), stop.tokens, "tokens"),
        (sum(record.cost for record in records), stop.money, "of money"),
        (hours, stop.hours, "hours"),
    ):
        if cap is not None and spent >= cap:
            return f"{spent:g} {unit} are spent; the cap is {cap:g}"
    return None
