"""One-line descriptions of a stage's progress, the same on a terminal, in a log and beside the bar of Prefect."""

from __future__ import annotations

from schemas.config import StageName
from schemas.funnel import pluralise
from schemas.live import CallsLive, StageLive


def describe_stage(live: StageLive) -> str:
    """Describe count, speed, remaining time, and the state of the language models."""
    parts = [f"{describe_count(live)}, {live.rate:,.1f}/s", *describe_rest(live)]
    return f"{live.stage}: {'; '.join(parts)}"


def describe_count(live: StageLive) -> str:
    """Describe how many inputs are done."""
    of = f"/{live.total:,}" if live.total is not None else ""
    return f"{live.done:,}{of} {pluralise(live.unit)}"


def describe_rest(live: StageLive) -> list[str]:
    """Describe everything besides count and speed."""
    parts = []
    if live.seconds_left:
        parts.append(f"about {describe_seconds(live.seconds_left)} left")
    if live.accepted_share is not None:
        # Only verdicts accept; items of other stages are merely passed on.
        word = "accepted" if live.stage == StageName.JUDGEMENTS else "passed on"
        parts.append(f"{live.accepted_share:.0%} {word}, {live.accepted_share * live.rate:,.1f}/s")
    return parts + (describe_calls(live.calls) if live.calls else [])


def describe_calls(calls: CallsLive) -> list[str]:
    """Describe the calls to language models, and their cost."""
    waiting = f", {calls.waiting:,} waiting" if calls.waiting else ""
    cost = f"cost {describe_money(calls.cost)}"
    if calls.cost_cap is not None:
        cost += f" of {describe_money(calls.cost_cap)}"
    if calls.token_cap is not None:
        cost += f", {calls.tokens:,} of {calls.token_cap:,} tokens"
    parts = [
        f"{calls.in_flight:,} in flight{waiting}, {calls.rate:,.1f} calls/s, {calls.fault_share:.1%} failed tries",
        f"tokens/s {calls.prompt_rate:,.0f} in, {calls.completion_rate:,.0f} out",
        cost,
    ]
    return parts + ([f"STALLED: {', '.join(calls.stalled)}"] if calls.stalled else [])


def describe_end(live: StageLive) -> str:
    """Describe what an ended stage did in this session, without the name of the stage."""
    rate = live.done_now / live.seconds if live.seconds else 0.0
    line = f"{live.done:>9,} {pluralise(live.unit):<13}{live.seconds:>8.1f} s {rate:>10,.1f}/s"
    if live.calls is None:
        return line
    calls = live.calls
    tokens = f"{calls.prompt_tokens:,} tokens in, {calls.completion_tokens:,} out"
    return f"{line}  {calls.answered:,} calls, {tokens}, cost {describe_money(calls.stage_cost)}"


def describe_money(amount: float) -> str:
    """Write an amount, with more digits when it is small."""
    return f"{amount:,.2f}" if amount >= 1 or not amount else f"{amount:.4f}"


def describe_seconds(seconds: float) -> str:
    """Write a duration for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"
