"""What a failed request means: try again, give the item up, or stop the run.

Promises: the kinds of fault that may pass are named in one place; everything else is a refusal of the request or of the
endpoint, said in one line that never holds a key. What the configuration causes - URL, key, model, parameters, a window
smaller than `max_tokens` - is the endpoint's fault, never the item's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.http.errors import UNPAID, HttpStatusError, RefusalError, ThrottledError, UnavailableError
from pipeline.llm.chat_model import EndpointError, ModelError, RefusedParameterError, RefusedRequestError
from pipeline.llm.chat_protocol import MalformedReplyError
from pipeline.llm.completions_protocol import NoTokensError

RETRYABLE: tuple[type[Exception], ...] = (
    ThrottledError,
    UnavailableError,
    MalformedReplyError,
    TimeoutError,
    ConnectionError,
)
"""Faults that may pass: 429, 5xx, bodies cut off, hangs, resets. `explain` takes out what may not."""

OWN_REASONS = frozenset({"context_overflow", "content_filter", "model_refusal"})
"""Refusals that are the item's own fault: kept, so that it is not asked again."""
REFUSALS = OWN_REASONS | {"bad_request"}
"""All reason codes of what a server refused."""

OVERFLOW = re.compile(
    r"context[ _](length|window|size)|maximum (context|model|input|prompt) length|max_model_len"
    r"|too many (input )?tokens|prompt is too long|input.{0,20}(too long|longer than)"
    r"|exceeds?.{0,40}(context|max_tokens|tokens)|max_tokens must be at least 1",
    re.IGNORECASE,
)
WINDOWS = re.compile(
    r"max_model_len\D{0,4}(\d[\d,]*)|context (?:length|window|size)(?: limit)?(?: is| of|:| ?=)? ?\(?(\d[\d,]*)"
    r"|at most (\d[\d,]*) (?:completion|output) tokens|max_\w*tokens: \d+ > (\d[\d,]*)",
    re.IGNORECASE,
)
"""The largest reply, or prompt and reply together, that a server names."""
FILTERED = re.compile(
    r"content[ _]?(filter|policy|management)|data_inspection_failed|inappropriate content|moderation|\bflagged\b",
    re.IGNORECASE,
)
KEY_REFUSED = re.compile(
    r"api[ _-]?key|invalid.{0,12}(token|credential)|unauthori[sz]ed|authentication|permission|no connected db|\(key\)",
    re.IGNORECASE,
)
UNKNOWN_MODEL = re.compile(
    r"model_not_found|model.{0,80}(does not exist|not found|not exist|is not (available|served|loaded))"
    r"|no such model|unknown model|invalid model\b",
    re.IGNORECASE,
)
UNSTRUCTURED = re.compile(r"response_format|json_schema|guided|structured.?output", re.IGNORECASE)
UNSUPPORTED = re.compile(
    r"(unsupported|unknown|unrecogni[sz]ed|unexpected|extra) (parameter|argument|field|value|input)"
    r"|(is|are) not (supported|permitted|allowed)|does not support",
    re.IGNORECASE,
)


def explain(
    error: Exception, endpoint: str, model: str, body: Mapping[str, Any] | None = None, answered: bool = False
) -> ModelError | None:
    """The error that ends a request, or None for a fault that may pass.

    `body`: what was sent, whose parameters an error may name; `answered`: whether the endpoint has answered others, so
    that it takes the key.
    """
    if isinstance(error, NoTokensError):
        return EndpointError(
            f"{endpoint}: {error}, so masks could not be exact",
            "serve the model with vLLM, which returns them: set serving.mode=managed, or start `vllm serve` elsewhere",
        )
    if not isinstance(error, HttpStatusError):
        return None
    status, detail = error.status, error.detail
    if status == 403 and FILTERED.search(detail):
        return RefusedRequestError("content_filter", f"{endpoint}: {detail}", endpoint=endpoint)
    if status == 402 or (status in (403, 429) and UNPAID.search(detail)):
        return EndpointError(
            f"{endpoint}: the account has no credit left ({detail})", "pay, or name another endpoint; then resume"
        )
    if status == 403 and answered and not KEY_REFUSED.search(detail):
        return RefusedRequestError("bad_request", f"{endpoint}: HTTP 403: {detail}", endpoint=endpoint)
    if status in (401, 403) or (status == 400 and KEY_REFUSED.search(detail)):
        return EndpointError(
            f"{endpoint}: the server refuses the key (HTTP {status})",
            "put the right key into the environment variable that llm.endpoints names as `key`",
        )
    if not isinstance(error, RefusalError):
        return None
    return _explain_refusal(error, endpoint, model, body or {})


def _explain_refusal(error: RefusalError, endpoint: str, model: str, body: Mapping[str, Any]) -> ModelError:
    status, detail = error.status, error.detail
    if status < 400:
        where = f" to {error.location}" if error.location else ""
        return EndpointError(
            f"{endpoint}: the server redirects{where} (HTTP {status})", "set the url in llm.endpoints to where it leads"
        )
    if status == 404 or UNKNOWN_MODEL.search(detail):
        return EndpointError(
            f"{endpoint}: no model {model} is served here (HTTP {status}: {detail})",
            "`rampforge doctor` lists the models served; check llm.roles and the URL",
        )
    if name := find_unsupported(detail, body):
        return RefusedParameterError(
            f"{endpoint}: the server does not take `{name}` for {model}: {detail}",
            f"take it away with llm.roles.default.extra: {{{name}: null}}, or name there what the server takes instead",
        )
    if (window := find_window(detail)) and (asked := find_reply_cap(body)) >= window:
        return EndpointError(
            f"{endpoint}: replies of {asked} tokens do not fit into {window} tokens of {model}: {detail}",
            "set max_tokens of the role in llm.roles lower, or serve the model with a larger window",
        )
    if status == 413 or OVERFLOW.search(detail):
        return RefusedRequestError("context_overflow", f"{endpoint}: {detail}", endpoint=endpoint)
    if FILTERED.search(detail):
        return RefusedRequestError("content_filter", f"{endpoint}: {detail}", endpoint=endpoint)
    return RefusedRequestError("bad_request", f"{endpoint}: HTTP {status}: {detail}", endpoint=endpoint)


def find_unsupported(detail: str, body: Mapping[str, Any]) -> str | None:
    """The parameter of the body that a server says it does not take at all, whatever the item."""
    if not UNSUPPORTED.search(detail):
        return None
    names = (name for name in body if name not in ("model", "messages", "prompt"))
    return next((name for name in names if re.search(rf"\b{re.escape(name)}\b", detail)), None)


def find_window(detail: str) -> int:
    """Tokens that a server says have room: the smallest number that it names as such; 0 for none."""
    return min((int(next(filter(None, found)).replace(",", "")) for found in WINDOWS.findall(detail)), default=0)


def find_reply_cap(body: Mapping[str, Any]) -> int:
    """Tokens of reply that a request asks for; 0 where it leaves that to the server."""
    caps = (body.get(name) for name in ("max_tokens", "max_completion_tokens"))
    return max((cap for cap in caps if isinstance(cap, int)), default=0)


def refuses_schema(error: Exception) -> bool:
    """Whether the server turned a request down for the schema in it."""
    return isinstance(error, RefusalError) and error.status in (400, 422) and bool(UNSTRUCTURED.search(error.detail))
