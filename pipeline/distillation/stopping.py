"""When a distillation ends, and whom it trusts: pure functions of the rounds' records."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.distill_config import DistillConfig, OnRegression, StopConfig
from schemas.rounds import RoundRecord


def find_best(records: Sequence[RoundRecord]) -> RoundRecord | None:
    """The round whose own teacher did best on what is held out, the first of equals; None before any is validated.

    Round 0 has no teacher to fall back to, so it is not among them.
    """
    taught = [record for record in records if record.validation and record.checkpoint]
    return max(taught, key=lambda record: (_recall(record), -record.number)) if taught else None


def measure_regression(records: Sequence[RoundRecord], recall: float, config: DistillConfig) -> float | None:
    """How much worse a new teacher is than the best before it, untrained base included; None when not too much."""
    seen = [_recall(record) for record in records if record.validation]
    worse = max(seen, default=0.0) - recall
    return worse if worse > config.regression else None


def find_stop(records: Sequence[RoundRecord], config: DistillConfig) -> str | None:
    """Why no further round is to be begun after these, as a sentence; None when one is."""
    last, stop = records[-1], config.stop
    if last.regression is not None and config.on_regression is OnRegression.STOP:
        return f"the teacher lost {last.regression:.3f} of validation recall, more than {config.regression:g}"
    if not last.tasks:
        return "no task is left that no round has met: give it more pages, or raise masking.limit"
    for reason in (
        _reach_target(last, stop),
        _fall_low(last, stop),
        _stand_still(records, stop),
        _spend(records, stop),
    ):
        if reason:
            return reason
    return f"all {config.rounds} rounds are done" if last.number >= config.rounds else None


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


def _stand_still(records: Sequence[RoundRecord], stop: StopConfig) -> str | None:
    """Rounds in a row whose teacher gained nothing over all before it."""
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
