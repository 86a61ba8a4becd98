"""Tells refusals that an item causes from those that the configuration causes: by whether others are answered.

Promises: a refusal counts as the item's own only once a request of the same role and model has been answered. For what
names no fault of the item (`bad_request`) that must have been in this session, by the same endpoint, and not
`HOPELESS` refusals ago. Until then the item is left owed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from pipeline.llm.budget import Budget
from pipeline.llm.chat_model import ChatModel, ChatReply, ChatRequest, RefusedRequestError, UnsettledRefusalError
from pipeline.llm.errors import OWN_REASONS

HOPELESS = 20
"""Requests refused in a row: the fault is in the configuration, not in the items."""


class SettledChatModel:
    """Passes refusals on when they are the item's own, and raises UnsettledRefusalError for the others."""

    def __init__(
        self, model: ChatModel, budget: Budget, name_model: Callable[[str], str], gives_up: bool = False
    ) -> None:
        """`name_model`: the model of a role; `gives_up`: any refusal is the item's, once the model has answered."""
        self._model = model
        self._budget = budget
        self._name_model = name_model
        self._gives_up = gives_up
        self._in_a_row: Counter[tuple[str, str]] = Counter()

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply. Raises ModelError."""
        try:
            reply = await self._model.ask(request)
        except RefusedRequestError as error:
            if error.reply is not None:
                self._in_a_row[request.role, error.endpoint] = 0
            elif not self._is_settled(request.role, error):
                raise UnsettledRefusalError(error.what) from None
            raise
        self._in_a_row[request.role, reply.endpoint] = 0
        return reply

    def _is_settled(self, role: str, error: RefusedRequestError) -> bool:
        model = self._name_model(role)
        if self._gives_up or error.reason in OWN_REASONS:
            return self._budget.was_answered(role, model)
        self._in_a_row[role, error.endpoint] += 1
        hopeless = self._in_a_row[role, error.endpoint] >= HOPELESS
        return not hopeless and self._budget.answers_now(role, model, error.endpoint)
