"""Estimate of calls, tokens, money, GPU-hours and hours from measured means and a workload.

Guarantees: everything follows from the arguments; unknown quantities stay unknown and are named in the notes, with the
way to measure them. For the configuration of the measured run the estimate equals the measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from pipeline.llm.prices import PriceTable
from pipeline.llm.roles import find_role
from pipeline.planning.measuring import ATTEMPT, PASSAGE, TURN
from schemas.config import RunConfig
from schemas.llm_config import ModelPrice
from schemas.plan import CapCheck, CostPlan, Means, Range, RoleMeans, RolePlan, Workload

ALL = "all"
MILLION = 1_000_000
HOUR = 3600.0
WITHIN, MAYBE, STOPS, UNKNOWN = "kept", "may stop the run", "stops the run", "unknown"
MEASURE = "run some 50 tasks (`--limit 50`), then `rampforge plan --from RUN`"


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines that serve the models."""

    in_flight: int
    """Concurrent calls allowed."""
    gpus: int = 0
    """GPUs behind the endpoints; 0 for those of a provider."""
    tokens_per_second: float | None = None
    """Total throughput given by the user, sent and received; None for the measured one."""


def estimate(config: RunConfig, roles: Sequence[str], workload: Workload, means: Means, machines: Machines) -> CostPlan:
    """The plan of a run; `roles`: those that call a model. Raises ConfigError for a role without a model."""
    table = PriceTable(config.llm.prices)
    known = {role.role: role for role in means.roles}
    speed = machines.tokens_per_second or (means.speed.tokens_per_second if means.speed else None)
    rate = speed if machines.gpus else None
    plans = []
    for role in roles:
        model = find_role(config.llm, role).model
        if role in known:
            calls = _count_units(known[role], workload, config) * known[role].calls
            plans.append(_plan_role(known[role], model, calls, table.find(model), rate, machines.gpus))
    total = _sum_roles(plans)
    pace = total.tokens * (1 / speed / HOUR) if speed and plans else None
    full = total.call_hours * (1 / machines.in_flight) if total.call_hours else None
    return CostPlan(
        means=means.source,
        measured=means.measured,
        workload=workload,
        roles=(*plans, total),
        tokens_per_second=speed,
        gpus=machines.gpus,
        hours_at_pace=pace,
        hours_at_full_flight=full,
        in_flight=machines.in_flight,
        caps=tuple(check_caps(config, total, full, pace)),
        notes=tuple(_list_notes(config, roles, plans, means, machines)),
    )


def _count_units(means: RoleMeans, workload: Workload, config: RunConfig) -> Range:
    """Number of the units that a role is called for."""
    counts = {
        TURN: workload.turns * float(workload.attempts),
        ATTEMPT: _fix(workload.attempts * config.judging.votes),
        PASSAGE: _fix(workload.passages),
    }
    return counts[means.unit]


def _fix(value: float) -> Range:
    return Range(low=value, mean=value, high=value)


def _plan_role(
    means: RoleMeans, model: str, calls: Range, price: ModelPrice | None, rate: float | None, gpus: int
) -> RolePlan:
    sent, received = calls * means.prompt_tokens, calls * means.completion_tokens
    return RolePlan(
        role=means.role,
        model=model,
        calls=calls,
        prompt_tokens=sent,
        completion_tokens=received,
        money=sent * (price.prompt / MILLION) + received * (price.completion / MILLION) if price else None,
        gpu_hours=(sent + received) * (gpus / rate / HOUR) if rate else None,
        call_hours=calls * means.seconds * (1 / HOUR) if means.seconds else None,
    )


def _sum_roles(plans: Sequence[RolePlan]) -> RolePlan:
    def sum_known(values: Iterable[Range | None]) -> Range | None:
        known = [value for value in values if value is not None]
        return reduce(add, known) if known else None

    return RolePlan(
        role=ALL,
        model="",
        calls=reduce(add, (plan.calls for plan in plans), _fix(0)),
        prompt_tokens=reduce(add, (plan.prompt_tokens for plan in plans), _fix(0)),
        completion_tokens=reduce(add, (plan.completion_tokens for plan in plans), _fix(0)),
        money=sum_known(plan.money for plan in plans),
        gpu_hours=sum_known(plan.gpu_hours for plan in plans),
        call_hours=sum_known(plan.call_hours for plan in plans),
    )


def check_caps(config: RunConfig, total: RolePlan, full: Range | None, pace: Range | None) -> Iterator[CapCheck]:
    """The caps that are set, each compared with the plan."""
    budget = config.llm.budget
    hours = Range(low=min(full.low, pace.low), mean=pace.mean, high=pace.high) if full and pace else full or pace
    for cap, limit, planned in (
        ("tokens", budget.tokens, total.tokens),
        ("money", budget.money, total.money),
        ("hours", budget.hours, hours),
    ):
        if limit is not None:
            reaches = min(1.0, limit / planned.mean) if planned and planned.mean else None
            yield CapCheck(cap=cap, limit=limit, planned=planned, verdict=_judge_cap(limit, planned), reaches=reaches)


def _judge_cap(limit: float, planned: Range | None) -> str:
    if planned is None:
        return UNKNOWN
    if planned.high <= limit:
        return WITHIN
    return STOPS if planned.low > limit else MAYBE


def _list_notes(
    config: RunConfig, roles: Sequence[str], plans: Sequence[RolePlan], means: Means, machines: Machines
) -> Iterator[str]:
    if not roles:
        yield "no role of this configuration asks a language model: it costs machine time only"
        return
    if not means.measured:
        yield f"turns and lengths of replies are assumed, not measured on your models: {MEASURE}"
    planned = {plan.role for plan in plans}
    if missing := [role for role in roles if role not in planned]:
        yield f"nothing is known of {', '.join(missing)}: the plan leaves them out"
    if unpriced := sorted({plan.model for plan in plans if plan.money is None}):
        names = ", ".join(unpriced)
        yield f"no price is known for {names}: money leaves them out; set llm.prices (0 for a server of yours)"
    if not machines.gpus:
        yield "GPU-hours: name how many GPUs serve the models, `--gpus N`"
    elif machines.tokens_per_second is None and means.speed is None:
        yield f"GPU-hours: no throughput was measured: {MEASURE}, or give `--tokens-per-second X`"
    if means.speed is None:
        yield f"hours: the time of a call was not measured: {MEASURE}"
    else:
        yield (
            f"hours: the measured run had {means.speed.in_flight:,.1f} calls under way on average; "
            f"the configuration allows {machines.in_flight:,}. Servers that are fuller answer later"
        )
    modes = len(config.search.hide)
    if modes != means.hide_modes and means.measured:
        yield (
            f"the means are of {means.hide_modes} hide modes, the configuration has {modes}: "
            "what modes share is paid for once, so calls differ somewhat"
        )
    if config.agents.max_turns > means.max_turns:
        yield f"the means are of at most {means.max_turns} turns: more turns are counted at the upper end only"
