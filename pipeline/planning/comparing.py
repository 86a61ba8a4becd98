"""What was planned beside what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.planning.estimate import ALL
from schemas.plan import CostPlan, PlanComparison, Range, RolePlan
from schemas.spending import RoleSpending


def compare(plan: CostPlan, spent: Sequence[RoleSpending], busy_seconds: float) -> tuple[PlanComparison, ...]:
    """By role and in sum: calls, tokens, money; then the hours."""
    rows = list(_compare_roles(plan, spent))
    hours = busy_seconds / 3600
    for name, planned in (
        ("hours at that pace", plan.hours_at_pace),
        ("hours at full flight", plan.hours_at_full_flight),
    ):
        rows.append(PlanComparison(role=ALL, quantity=name, planned=planned, actual=hours))
    return tuple(rows)


def _compare_roles(plan: CostPlan, spent: Sequence[RoleSpending]) -> Iterator[PlanComparison]:
    planned = {role.role: role for role in plan.roles}
    names = [*dict.fromkeys([*(r.role for r in plan.roles if r.role != ALL), *(r.role for r in spent)]), ALL]
    for name in names:
        some = [role for role in spent if name in (role.role, ALL)]
        actual = {
            "calls": sum(role.calls for role in some),
            "prompt tokens": sum(role.prompt_tokens for role in some),
            "completion tokens": sum(role.completion_tokens for role in some),
            "money": sum(role.cost for role in some),
        }
        ours = _list_quantities(planned[name]) if name in planned else {}
        for quantity, value in actual.items():
            yield PlanComparison(role=name, quantity=quantity, planned=ours.get(quantity), actual=value)


def _list_quantities(plan: RolePlan) -> dict[str, Range | None]:
    return {
        "calls": plan.calls,
        "prompt tokens": plan.prompt_tokens,
        "completion tokens": plan.completion_tokens,
        "money": plan.money,
    }
