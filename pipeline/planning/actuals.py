"""What a run's calls came to, for each accepted trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.llm.prices import PriceTable
from schemas.config import StageName
from schemas.funnel import FunnelStep
from schemas.spending import RoleShare, RoleSpending, RunSpending

ALL = "all"


def count_accepted(funnel: Iterable[FunnelStep]) -> int | None:
    """Trajectories that the judge let pass; None before the judging is done."""
    judged = (step.passed for step in funnel if (step.stage, step.unit) == (StageName.JUDGEMENTS, "trajectory"))
    return next(judged, None)


def sum_spending(
    roles: Sequence[RoleSpending], busy_seconds: float, prices: PriceTable, accepted: int | None
) -> RunSpending:
    """The sums of a run, and each role's share for an accepted trajectory."""
    return RunSpending(
        roles=tuple(roles),
        busy_seconds=busy_seconds,
        unpriced=prices.list_unpriced(role.model for role in roles),
        accepted=accepted,
        per_accepted=tuple(_share_out(roles, accepted)) if accepted else (),
    )


def _share_out(roles: Sequence[RoleSpending], accepted: int) -> Iterable[RoleShare]:
    for name in (*dict.fromkeys(role.role for role in roles), ALL):
        some = [role for role in roles if name in (role.role, ALL)]
        yield RoleShare(
            role=name,
            calls=sum(role.calls for role in some) / accepted,
            prompt_tokens=sum(role.prompt_tokens for role in some) / accepted,
            completion_tokens=sum(role.completion_tokens for role in some) / accepted,
            cost=sum(role.cost for role in some) / accepted,
            seconds=sum(role.seconds for role in some) / accepted,
        )
