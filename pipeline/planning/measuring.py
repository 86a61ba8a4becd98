"""Measurement of a finished run's calls and turns, as the base for planning a larger one.

Guarantees: only the run's own usage log and shards enter; memory does not grow with the run.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path

import duckdb

from pipeline.errors import ConfigError
from pipeline.llm.usage_log import BusyTime, CallUsage
from pipeline.masking.task_stage import OVER_LIMIT
from pipeline.planning.spread import Spread, around
from schemas.config import RunConfig, StageName
from schemas.funnel import FunnelStep
from schemas.ledger import RunRecord
from schemas.plan import Means, RoleMeans, Speed, TurnCounts, Yield
from schemas.roles import AGENT_ROLES, Role
from schemas.trajectories import HideMode, StopReason

TURN, ATTEMPT, PASSAGE = "turn", "attempt", "passage"
UNITS: dict[str, str] = {**dict.fromkeys(AGENT_ROLES, TURN), Role.JUDGE: ATTEMPT, Role.EXTRACTOR: PASSAGE}
"""Unit that the calls of a role are counted by."""

_BYTES = re.compile(r"(\d+) bytes")
_TURNS = """
    SELECT len(answers), hide, len(turns), count(*), count_if(stop_reason = $max_turns)
    FROM trajectories GROUP BY ALL ORDER BY ALL
"""


@dataclass(slots=True)
class CallSpreads:
    """The calls of one role."""

    prompt_tokens: Spread = field(default_factory=Spread)
    completion_tokens: Spread = field(default_factory=Spread)
    seconds: Spread = field(default_factory=Spread)


def measure_run(name: str, record: RunRecord, entries: Iterable[CallUsage], trajectories: Sequence[Path]) -> Means:
    """The means of a run, from run.json, its usage log and its shards of trajectories.

    Raises ConfigError when no calls were made, or when a stage that made them is not finished.
    """
    config = RunConfig.model_validate(record.config)
    spreads: dict[str, CallSpreads] = {}
    busy = BusyTime()
    tokens = seconds = 0.0
    for entry in entries:
        spread = spreads.setdefault(entry.role, CallSpreads())
        spread.prompt_tokens.add(entry.prompt_tokens)
        spread.completion_tokens.add(entry.completion_tokens)
        spread.seconds.add(entry.seconds)
        busy.add(entry.ended - entry.seconds, entry.ended)
        tokens += entry.prompt_tokens + entry.completion_tokens
        seconds += entry.seconds
    if not spreads:
        raise ConfigError(f"{name}: no language model was called in this run", "name a run that called some, or none")
    turns = count_turns(trajectories)
    calls = sum(spread.seconds.count for spread in spreads.values())
    worked = busy.seconds
    speed = (
        Speed(busy_seconds=worked, tokens_per_second=tokens / worked, in_flight=seconds / worked) if worked else None
    )
    return Means(
        source=f"measured in the run {name}: {calls:,} calls",
        measured=True,
        max_turns=config.agents.max_turns,
        hide_modes=len(config.search.hide),
        votes=config.judging.votes,
        roles=tuple(
            _measure_role(name, role, spread, _count_units(record.funnel, role, turns, config.judging.votes))
            for role, spread in sorted(spreads.items())
            if role in UNITS
        ),
        turns=turns,
        speed=speed,
        harvest=_measure_yield(record),
    )


def _measure_role(name: str, role: str, spread: CallSpreads, units: float) -> RoleMeans:
    calls = spread.seconds.count
    if not units:
        raise ConfigError(f"{name}: the stage of the {role} is not finished", f"rampforge resume {name}")
    # Rare events have the root of their number for an error. Of calls for turns only those beside one a turn are rare:
    # retries of unreadable replies, and equal requests sent once.
    error = sqrt(abs(calls - units) if UNITS[role] == TURN else calls)
    return RoleMeans(
        role=role,
        unit=UNITS[role],
        calls=around(calls / units, error / units),
        prompt_tokens=spread.prompt_tokens.range(),
        completion_tokens=spread.completion_tokens.range(),
        seconds=spread.seconds.range(),
    )


def _count_units(funnel: Sequence[FunnelStep], role: str, turns: Sequence[TurnCounts], votes: int) -> float:
    """Turns, attempts (times votes) or passages that the calls of a role were made for; 0 when unfinished."""
    attempts = find_step(funnel, StageName.TRAJECTORIES, "trajectory")
    if role == Role.EXTRACTOR:
        proposed = find_step(funnel, StageName.PROPOSALS, "passage")
        return proposed.looked_at if proposed else 0
    if attempts is None:
        return 0
    if role == Role.JUDGE:
        return attempts.entered * votes if find_step(funnel, StageName.JUDGEMENTS, "trajectory") else 0
    # Attempts without a row count with the mean length of the others.
    finished = sum(sum(cell.attempts) for cell in turns)
    steps = sum(number * count for cell in turns for number, count in enumerate(cell.attempts))
    return steps * attempts.entered / finished if finished else 0


def find_step(funnel: Iterable[FunnelStep], stage: str, unit: str) -> FunnelStep | None:
    """The totals of one unit through one stage."""
    return next((step for step in funnel if (step.stage, step.unit) == (stage, unit)), None)


def count_turns(shards: Sequence[Path]) -> tuple[TurnCounts, ...]:
    """Distribution of turns for each number of masks and hide mode."""
    if not shards:
        return ()
    with duckdb.connect(config={"memory_limit": "1GB", "autoinstall_known_extensions": "false"}) as db:
        names = [glob.escape(str(path)) for path in shards]  # DuckDB takes every path for a pattern
        db.read_parquet(names, hive_partitioning=False).create_view("trajectories")
        rows = db.execute(_TURNS, {"max_turns": StopReason.MAX_TURNS.value}).fetchall()
    cells: dict[tuple[int, str], tuple[dict[int, int], int]] = {}
    for masks, hide, turns, count, stopped in rows:
        seen, before = cells.get((masks, hide), ({}, 0))
        cells[masks, hide] = (seen | {turns: count}, before + stopped)
    return tuple(
        TurnCounts(
            masks=masks,
            hide=HideMode(hide),
            attempts=tuple(seen.get(number, 0) for number in range(max(seen) + 1)),
            stopped=stopped,
        )
        for (masks, hide), (seen, stopped) in cells.items()
    )


def _measure_yield(record: RunRecord) -> Yield | None:
    sizes = [_BYTES.match(fingerprint) for fingerprint in record.sources.values()]
    passages = find_step(record.funnel, StageName.DEDUP, "passage")
    searched, masked = (find_step(record.funnel, stage, "passage") for stage in (StageName.SPANS, StageName.TASKS))
    if passages is None or searched is None or masked is None or not all(sizes):
        return None
    seen = searched.looked_at
    tasks = masked.passed + masked.rejected.get(OVER_LIMIT, 0)
    return Yield(
        source_bytes=sum(int(size[1]) for size in sizes if size),
        passages=passages.passed,
        tasks_per_passage=tasks / seen if seen else 0.0,
    )
