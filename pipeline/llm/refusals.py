"""Refusals caused by an item and refusals caused by the configuration, distinguished by whether others are answered.

Guarantees: a refusal counts as the item's own only once a request of the same role and model has been answered. For
`bad_request`, which names no fault of the item, that has to be in this session, by the same endpoint, and fewer than
`HOPELESS` refusals ago. Until then the item stays unfinished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from pipeline.llm.budget import Budget
from pipeline.llm.chat_model import ChatModel, ChatReply, ChatRequest, RefusedRequestError, UnsettledRefusalError
from pipeline.llm.errors import OWN_REASONS

HOPELESS = 20
"""Refusals in a row from which on the configuration is at fault, not the items."""


class SettledChatModel:
    """Chat model that passes on refusals of the item, and raises UnsettledRefusalError for the others."""

    def __init__(
        self, model: ChatModel, budget: Budget, name_model: Callable[[str], str], gives_up: bool = False
    ) -> None:
        """`name_model`: the model of a role; `gives_up`: any refusal is the item's once the model has answered."""
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
