"""What a failed request means: try again, give the item up, or stop the run.

Promises: the kinds of fault that may pass are named in one place; everything else is a refusal of the request or of the
endpoint, said in one line that never holds a key.
"""

from __future__ import annotations

import re

from pipeline.llm.chat_model import EndpointError, ModelError, RefusedRequestError
from pipeline.llm.chat_wire import MalformedReplyError
from pipeline.llm.completion_wire import NoTokensError
from pipeline.remote.http_faults import UNPAID, HttpStatusError, RefusalError, ThrottledError, UnavailableError

RETRYABLE: tuple[type[Exception], ...] = (
    ThrottledError,
    UnavailableError,
    MalformedReplyError,
    TimeoutError,
    ConnectionError,
)
"""Faults that may pass: 429, 5xx, bodies cut off, hangs, resets. `explain` takes out what may not."""

PERMANENT_REASONS = frozenset({"context_overflow", "content_filter", "bad_request"})
"""Refusals that a server has spoken: asking again gives the same. The others are owed again."""

OVERFLOW = re.compile(
    r"context[ _](length|window|size)|maximum (context|model|input|prompt) length|max_model_len"
    r"|too many (input )?tokens|prompt is too long|input.{0,20}(too long|longer than)"
    r"|exceeds?.{0,40}(context|max_tokens|tokens)",
    re.IGNORECASE,
)
FILTERED = re.compile(
    r"content[ _]?(filter|policy|management)|data_inspection_failed|inappropriate content", re.IGNORECASE
)
UNKNOWN_MODEL = re.compile(
    r"model_not_found|model.{0,80}(does not exist|not found|not exist)|no such model|unknown model", re.IGNORECASE
)
UNSTRUCTURED = re.compile(r"response_format|json_schema|guided|structured.?output", re.IGNORECASE)


def explain(error: Exception, endpoint: str, model: str) -> ModelError | None:
    """The error of ours that ends the request, or None for a fault that may pass."""
    if isinstance(error, NoTokensError):
        return EndpointError(
            f"{endpoint}: {error}, so masks could not be exact",
            "serve the model with vLLM, which returns them: set serving.mode=managed, or start `vllm serve` elsewhere",
        )
    if not isinstance(error, HttpStatusError):
        return None
    status, detail = error.status, error.detail
    if status == 402 or (status in (403, 429) and UNPAID.search(detail)):
        return EndpointError(
            f"{endpoint}: the account has no credit left", "pay, or name another endpoint; then resume"
        )
    if status in (401, 403):
        return EndpointError(
            f"{endpoint}: the server refuses the key (HTTP {status})",
            "put the right key into the environment variable that llm.endpoints names as `key`",
        )
    if not isinstance(error, RefusalError):
        return None
    if status == 404 or UNKNOWN_MODEL.search(detail):
        return EndpointError(
            f"{endpoint}: no model {model} is served here (HTTP {status}: {detail})",
            "`rampforge doctor` lists the models served; check llm.roles and the URL",
        )
    if status == 413 or OVERFLOW.search(detail):
        return RefusedRequestError("context_overflow", f"{endpoint}: {detail}")
    if FILTERED.search(detail):
        return RefusedRequestError("content_filter", f"{endpoint}: {detail}")
    return RefusedRequestError("bad_request", f"{endpoint}: HTTP {status}: {detail}")


def refuses_schema(error: Exception) -> bool:
    """Whether the server turned a request down for the schema in it."""
    return isinstance(error, RefusalError) and error.status in (400, 422) and bool(UNSTRUCTURED.search(error.detail))
