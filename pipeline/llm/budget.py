"""Budget of a run: the cost of its calls by role, and caps that stop it.

Guarantees: spending is counted over all processes and sessions of a run, through one append-only file; a call that
would exceed a cap, by the mean of the calls so far, is not made; calls in flight at that moment still count and are
recorded. A cap is exceeded by no more than the calls in flight in other processes, or before any call is finished. A
process killed between a reply and its entry omits that one call at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.llm.chat_model import BudgetSpentError, ChatModel, ChatReply, ChatRequest, RefusedRequestError
from pipeline.llm.prices import PriceTable
from pipeline.llm.roles import find_role
from pipeline.llm.usage_log import BusyTime, CallUsage, UsageLog
from schemas.llm_config import BudgetConfig, LlmConfig
from schemas.spending import RoleSpending

RAISE_HINT = "`rampforge resume RUN --set llm.budget.{cap}={more}` continues; finished calls are recorded"
RESUME_HINT = "`rampforge resume RUN` continues for as long again; finished calls are recorded"


@dataclass(slots=True)
class UsageSums:
    """Consumption."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0

    def add(self, entry: CallUsage) -> None:
        """Count one call."""
        self.calls += 1
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens
        self.cost += entry.cost
        self.seconds += entry.seconds

    @property
    def tokens(self) -> int:
        """Tokens sent and received."""
        return self.prompt_tokens + self.completion_tokens


class Budget:
    """Usage log of a run, and its caps.

    `clock`: seconds that all processes of the run share; `started`: start of the session by it, by default now.
    """

    def __init__(
        self,
        caps: BudgetConfig,
        prices: PriceTable,
        path: Path,
        clock: Callable[[], float],
        started: float | None = None,
    ) -> None:
        self.prices = prices
        self.clock = clock
        self._caps = caps
        self._started = clock() if started is None else started
        self._roles: dict[tuple[str, str], UsageSums] = {}
        self._answering: set[tuple[str, str, str]] = set()
        self._total = UsageSums()
        self._busy = BusyTime()
        self._reserved = 0
        self._usage = UsageLog(path)
        self._read_entries()

    def reserve(self) -> None:
        """Enter a call that is about to be made. Raises BudgetSpentError when it may exceed a cap."""
        self._read_entries()
        caps, sums = self._caps, self._total
        # The calls in flight and this one, each at the mean of the finished ones.
        share = (self._reserved + 1) / sums.calls if sums.calls else 0.0
        if caps.tokens is not None and sums.tokens * (1 + share) > caps.tokens:
            raise BudgetSpentError(
                f"llm.budget.tokens: the cap of {caps.tokens:,} tokens has no room for another call",
                RAISE_HINT.format(cap="tokens", more=2 * caps.tokens),
            )
        if caps.money is not None and sums.cost * (1 + share) > caps.money:
            raise BudgetSpentError(
                f"llm.budget.money: the cap of {caps.money:,.2f} has no room for another call",
                RAISE_HINT.format(cap="money", more=f"{2 * caps.money:g}"),
            )
        if caps.hours is not None and self.clock() - self._started >= caps.hours * 3600:
            raise BudgetSpentError(
                f"llm.budget.hours: the cap of {caps.hours:g} hours a session is reached", RESUME_HINT
            )
        self._reserved += 1

    def cancel(self) -> None:
        """A reserved call failed."""
        self._reserved -= 1

    def spend(self, role: str, reply: ChatReply, started: float) -> None:
        """Enter a reserved call that was requested at `started` and is answered now."""
        self._reserved -= 1
        cost = self.prices.cost(reply.model, reply.prompt_tokens, reply.completion_tokens)
        now = self.clock()
        seconds = round(max(0.0, now - started), 4)
        tokens = (reply.prompt_tokens, reply.completion_tokens)
        self._usage.write(CallUsage(role, reply.model, *tokens, cost, round(now, 4), seconds, reply.endpoint))
        self._read_entries()

    def was_answered(self, role: str, model: str) -> bool:
        """Whether the model of a role has answered any process in this run."""
        self._read_entries()
        return (role, model) in self._roles

    def answers_now(self, role: str, model: str, endpoint: str) -> bool:
        """Whether an endpoint has answered any process for a role in this session."""
        self._read_entries()
        return (role, model, endpoint) in self._answering

    def usage(self) -> tuple[RoleSpending, ...]:
        """Consumption of each role over the run so far, by all processes."""
        self._read_entries()
        return tuple(_row(place, sums) for place, sums in sorted(self._roles.items()))

    @property
    def busy_seconds(self) -> float:
        """Time with at least one call in flight, over the run so far."""
        return self._busy.seconds

    def _read_entries(self) -> None:
        """Count the new entries, of this process and others."""
        for entry in self._usage.read():
            self._roles.setdefault((entry.role, entry.model), UsageSums()).add(entry)
            self._total.add(entry)
            if entry.ended >= self._started:
                self._answering.add((entry.role, entry.model, entry.endpoint))
            self._busy.add(entry.ended - entry.seconds, entry.ended)

    def close(self) -> None:
        """Close the file."""
        self._usage.close()


class BudgetedChatModel:
    """Chat model that makes a call only when the budget has room for it, and enters its cost."""

    def __init__(self, model: ChatModel, budget: Budget) -> None:
        self._model = model
        self._budget = budget

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply, entered into the budget. Raises ModelError; BudgetSpentError when a cap is reached."""
        self._budget.reserve()
        started = self._budget.clock()
        try:
            reply = await self._model.ask(request)
        except RefusedRequestError as error:
            if error.reply is None:
                self._budget.cancel()
            else:
                self._budget.spend(request.role, error.reply, started)
            raise
        except BaseException:
            self._budget.cancel()
            raise
        self._budget.spend(request.role, reply, started)
        return reply


def _row(place: tuple[str, str], sums: UsageSums) -> RoleSpending:
    return RoleSpending(
        role=place[0],
        model=place[1],
        calls=sums.calls,
        prompt_tokens=sums.prompt_tokens,
        completion_tokens=sums.completion_tokens,
        cost=sums.cost,
        seconds=sums.seconds,
    )


def check_prices(config: LlmConfig, roles: Iterable[str]) -> None:
    """Raise ConfigError when money is capped and a model of these roles has no price: its calls would count as free."""
    if config.budget.money is None:
        return
    unpriced = PriceTable(config.prices).list_unpriced(find_role(config, role).model for role in roles)
    if unpriced:
        raise ConfigError(
            f"llm.budget.money is set, but no price is known for {', '.join(unpriced)}",
            f"set llm.prices: {{{unpriced[0]}: {{prompt: ..., completion: ...}}}} (for a million tokens; "
            "0 for a server of your own), or cap llm.budget.tokens or hours instead",
        )
