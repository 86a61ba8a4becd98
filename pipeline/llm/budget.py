"""Counts what calls cost, by role, and stops the run when a cap is reached.

Promises: spending is counted over all processes and sittings of a run, through one file that only grows; a call that
would pass a cap, going by the mean of the calls so far, is not made; what is in flight then still counts and is kept.
A process killed between a reply and its entry leaves out that one call at most.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from pipeline.errors import ConfigError
from pipeline.llm.chat_model import BudgetSpentError, ChatReply, ChatRequest, ModelService
from pipeline.llm.prices import PriceTable
from pipeline.storage.boundary import storage_boundary
from schemas.llm_config import BudgetConfig, LlmConfig
from schemas.trajectories import RoleUsage

log = logging.getLogger(__name__)

READ_OTHERS_EVERY = 1.0
"""Seconds between looks at what other processes have spent."""
FIX = "raise the cap under llm.budget, then `rampforge resume RUN`: finished calls are kept"


@dataclass(slots=True)
class Sums:
    """What was consumed."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def add(self, prompt_tokens: int, completion_tokens: int, cost: float) -> None:
        """Count one call."""
        self.calls += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.cost += cost


class Budget:
    """The books of a run. `clock` gives seconds from any origin; hours are counted from the making of this object."""

    def __init__(self, caps: BudgetConfig, prices: PriceTable, path: Path, clock: Callable[[], float]) -> None:
        self.prices = prices
        self._caps = caps
        self._clock = clock
        self._started = clock()
        self._roles: dict[tuple[str, str], Sums] = {}
        self._total = Sums()
        self._reserved = 0
        self._path = path
        self._read_to = 0
        self._read_at = self._started
        with storage_boundary(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._read_entries()

    def reserve(self) -> None:
        """Enter a call that is about to be made. Raises BudgetSpentError when it may pass a cap."""
        now = self._clock()
        if now - self._read_at >= READ_OTHERS_EVERY:
            self._read_at = now
            self._read_entries()
        caps, sums = self._caps, self._total
        # The calls in flight and this one, each like the mean of those that are done.
        share = (self._reserved + 1) / sums.calls if sums.calls else 0.0
        tokens = sums.prompt_tokens + sums.completion_tokens
        if caps.tokens is not None and tokens * (1 + share) > caps.tokens:
            raise BudgetSpentError(f"the cap of {caps.tokens:,} tokens is reached: {tokens:,} are used", FIX)
        if caps.money is not None and sums.cost * (1 + share) > caps.money:
            raise BudgetSpentError(f"the cap of {caps.money:,.2f} is reached: {sums.cost:,.2f} is spent", FIX)
        if caps.hours is not None and now - self._started >= caps.hours * 3600:
            raise BudgetSpentError(f"the cap of {caps.hours:g} hours is reached", FIX)
        self._reserved += 1

    def cancel(self) -> None:
        """A reserved call came to nothing."""
        self._reserved -= 1

    def spend(self, role: str, reply: ChatReply) -> None:
        """Enter a reserved call that was answered."""
        self._reserved -= 1
        cost = self.prices.cost(reply.model, reply.prompt_tokens, reply.completion_tokens)
        entry = [role, reply.model, reply.prompt_tokens, reply.completion_tokens, cost]
        with storage_boundary(self._path):
            os.write(self._file, orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        self._read_entries()

    def usage(self) -> tuple[RoleUsage, ...]:
        """What each role has consumed over the run so far, by all processes."""
        self._read_entries()
        return tuple(_row(place, sums) for place, sums in sorted(self._roles.items()))

    def _read_entries(self) -> None:
        """Count the entries that are new, ours or another process's. An entry still without its end waits."""
        with storage_boundary(self._path):
            size = os.fstat(self._file).st_size
            fresh = os.pread(self._file, size - self._read_to, self._read_to) if size > self._read_to else b""
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.splitlines():
            try:
                role, model, prompt_tokens, completion_tokens, cost = orjson.loads(line)
            except ValueError:
                log.warning("%s: an entry is broken and left out", self._path)
                continue
            self._roles.setdefault((role, model), Sums()).add(prompt_tokens, completion_tokens, cost)
            self._total.add(prompt_tokens, completion_tokens, cost)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


class BudgetedChatModel:
    """Makes a call only when the budget has room for it, and enters what it cost."""

    def __init__(self, model: ModelService, budget: Budget) -> None:
        self._model = model
        self._budget = budget

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply, paid for. Raises ModelError; BudgetSpentError when a cap is reached."""
        self._budget.reserve()
        try:
            reply = await self._model.ask(request)
        except BaseException:
            self._budget.cancel()
            raise
        self._budget.spend(request.role, reply)
        return reply

    def stop(self) -> None:
        """Send nothing more: requests that wait are refused, those in flight go on."""
        self._model.stop()

    async def close(self) -> None:
        """Give up the connections; the next request opens new ones."""
        await self._model.close()


def sum_usage(calls: Iterable[tuple[str, ChatReply]], prices: PriceTable) -> tuple[RoleUsage, ...]:
    """What the calls of one trajectory consumed: (role, reply) pairs, also those answered from a journal."""
    roles: dict[tuple[str, str], Sums] = {}
    for role, reply in calls:
        cost = prices.cost(reply.model, reply.prompt_tokens, reply.completion_tokens)
        sums = roles.setdefault((role, reply.model), Sums())
        sums.add(reply.prompt_tokens, reply.completion_tokens, cost)
    return tuple(_row(place, sums) for place, sums in sorted(roles.items()))


def _row(place: tuple[str, str], sums: Sums) -> RoleUsage:
    return RoleUsage(
        role=place[0],
        model=place[1],
        calls=sums.calls,
        prompt_tokens=sums.prompt_tokens,
        completion_tokens=sums.completion_tokens,
        cost=sums.cost,
    )


def check_prices(config: LlmConfig) -> None:
    """Raise ConfigError when money is capped and a model has no price: its calls would count as free."""
    table = PriceTable(config.prices)
    models = sorted({role.model for role in config.roles.values()})
    unpriced = [model for model in models if table.find(model) is None]
    if config.budget.money is not None and unpriced:
        raise ConfigError(
            f"llm.budget.money is set, but no price is known for {', '.join(unpriced)}",
            f"set llm.prices: {{{unpriced[0]}: {{prompt: ..., completion: ...}}}} (for a million tokens)",
        )
