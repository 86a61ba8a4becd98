"""Actual spending of a run: per accepted trajectory, and beside its plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pipeline.llm.prices import PriceTable
from pipeline.planning.estimate import ALL
from schemas.config import StageName
from schemas.funnel import FunnelStep
from schemas.plan import CostPlan, PlanComparison
from schemas.spending import RoleShare, RoleSpending, RunSpending

AMOUNTS = ("calls", "prompt_tokens", "completion_tokens", "cost", "seconds")
QUANTITIES = {
    "calls": ("calls", "calls"),
    "prompt tokens": ("prompt_tokens", "prompt_tokens"),
    "completion tokens": ("completion_tokens", "completion_tokens"),
    "money": ("money", "cost"),
}
"""Compared quantities: the field of the plan and the field of the spending."""


def count_accepted(funnel: Iterable[FunnelStep]) -> int | None:
    """Accepted trajectories; None before judging is finished."""
    judged = (step.passed for step in funnel if (step.stage, step.unit) == (StageName.JUDGEMENTS, "trajectory"))
    return next(judged, None)


def sum_spending(
    roles: Sequence[RoleSpending], busy_seconds: float, prices: PriceTable, accepted: int | None
) -> RunSpending:
    """The totals of a run, and the share of each role per accepted trajectory."""
    names = (*dict.fromkeys(role.role for role in roles), ALL)
    return RunSpending(
        roles=tuple(roles),
        busy_seconds=busy_seconds,
        unpriced=prices.list_unpriced(role.model for role in roles),
        accepted=accepted,
        per_accepted=tuple(
            RoleShare(role=name, **{key: amount / accepted for key, amount in _sum_role(roles, name).items()})
            for name in names
            if accepted
        ),
    )


def compare_spending(plan: CostPlan, spent: Sequence[RoleSpending], busy_seconds: float) -> tuple[PlanComparison, ...]:
    """Plan and spending by role and in total: calls, tokens, money; then the hours."""
    hours = (("hours at that pace", plan.hours_at_pace), ("hours at full flight", plan.hours_at_full_flight))
    return (
        *_compare_roles(plan, spent),
        *(
            PlanComparison(role=ALL, quantity=name, planned=planned, actual=busy_seconds / 3600)
            for name, planned in hours
        ),
    )


def _compare_roles(plan: CostPlan, spent: Sequence[RoleSpending]) -> Iterator[PlanComparison]:
    planned = {role.role: role for role in plan.roles}
    names = [*dict.fromkeys([*(r.role for r in plan.roles if r.role != ALL), *(r.role for r in spent)]), ALL]
    for name in names:
        actual = _sum_role(spent, name)
        for quantity, (planned_field, spent_field) in QUANTITIES.items():
            yield PlanComparison(
                role=name,
                quantity=quantity,
                planned=getattr(planned[name], planned_field) if name in planned else None,
                actual=actual[spent_field],
            )


def _sum_role(spent: Sequence[RoleSpending], name: str) -> dict[str, float]:
    """The amounts of one role with all its models, or of all roles."""
    return {key: sum(getattr(role, key) for role in spent if name in (role.role, ALL)) for key in AMOUNTS}
