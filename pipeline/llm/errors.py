"""Classification of failed requests: try again, reject the item, or stop the run.

Guarantees: transient faults are listed in one place; everything else is a refusal of the request or of the endpoint, in
one line without keys. What the configuration causes - URL, key, model, parameters, a window smaller than `max_tokens` -
is the endpoint's fault, never the item's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.http.errors import UNPAID, HttpStatusError, RefusalError, ThrottledError, UnavailableError
from pipeline.llm.chat_model import EndpointError, ModelError, RefusedParameterError, RefusedRequestError
from pipeline.llm.chat_protocol import REPLY_CAPS, MalformedReplyError
from pipeline.llm.completions_protocol import NoTokensError
from pipeline.llm.request_form import find_unsupported

RETRYABLE: tuple[type[Exception], ...] = (
    ThrottledError,
    UnavailableError,
    MalformedReplyError,
    TimeoutError,
    ConnectionError,
)
"""Transient faults: 429, 5xx, bodies cut off, hangs, resets. `explain` takes out those that are permanent."""

OWN_REASONS = frozenset({"context_overflow", "content_filter", "model_refusal"})
"""Refusals that are the item's own fault: recorded, so that the request is not repeated."""
REFUSALS = OWN_REASONS | {"bad_request"}
"""All reason codes of refusals."""

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
"""Mentions of the largest reply, or of prompt and reply together."""
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


def explain(
    error: Exception,
    endpoint: str,
    model: str,
    body: Mapping[str, Any] | None = None,
    answered: bool = False,
    widened: bool = False,
) -> ModelError | None:
    """The error that ends a request, or None for a transient fault.

    `body`: what was sent, whose parameters an error may name; `answered`: whether the endpoint has answered others, so
    that it accepts the key; `widened`: whether the cap on the reply is larger than the configured one.
    """
    if isinstance(error, NoTokensError):
        return _explain_no_tokens(endpoint, str(error))
    if not isinstance(error, HttpStatusError):
        return None
    status, detail, text = error.status, error.detail, error.text
    if status == 403 and FILTERED.search(text):
        return RefusedRequestError("content_filter", f"{endpoint}: {detail}", endpoint=endpoint)
    if status == 402 or (status in (403, 429) and UNPAID.search(text)):
        return EndpointError(
            f"{endpoint}: the account has no credit left ({detail})", "pay, or name another endpoint; then resume"
        )
    if status == 403 and answered and not KEY_REFUSED.search(text):
        return RefusedRequestError("bad_request", f"{endpoint}: HTTP 403: {detail}", endpoint=endpoint)
    if status in (401, 403) or (status == 400 and KEY_REFUSED.search(text)):
        return EndpointError(
            f"{endpoint}: the server refuses the key (HTTP {status})",
            "put the right key into the environment variable that llm.endpoints names as `key`",
        )
    if not isinstance(error, RefusalError):
        return None
    return _explain_refusal(error, endpoint, model, body or {}, widened)


def _explain_no_tokens(endpoint: str, cause: str) -> EndpointError:
    return EndpointError(
        f"{endpoint}: {cause}, so masks could not be exact",
        "serve the model with vLLM, which returns them: set serving.mode=managed, or start `vllm serve` elsewhere",
    )


def _explain_refusal(
    error: RefusalError, endpoint: str, model: str, body: Mapping[str, Any], widened: bool
) -> ModelError:
    status, detail, text = error.status, error.detail, error.text
    if status < 400:
        where = f" to {error.location}" if error.location else ""
        return EndpointError(
            f"{endpoint}: the server redirects{where} (HTTP {status})", "set the url in llm.endpoints to where it leads"
        )
    name = find_unsupported(text, body)
    if name == "return_token_ids":
        return _explain_no_tokens(endpoint, f"the server returns no token ids ({detail})")
    if status == 404 or UNKNOWN_MODEL.search(text):
        return EndpointError(
            f"{endpoint}: no model {model} is served here (HTTP {status}: {detail})",
            "`rampforge doctor` lists the models served; check llm.roles and the URL",
        )
    if name:
        return RefusedParameterError(
            f"{endpoint}: the server does not take `{name}` for {model}: {detail}",
            f"leave it out with llm.endpoints.{endpoint}.parameters={{{name}: null}}, or give the server's name for it",
        )
    if (window := find_window(text)) and (cap := find_reply_cap(body)) >= window:
        if widened:
            return RefusedRequestError("context_overflow", f"{endpoint}: {detail}", endpoint=endpoint)
        return EndpointError(
            f"{endpoint}: replies of {cap} tokens do not fit into {window} tokens of {model}: {detail}",
            "set max_tokens of the role in llm.roles lower, or serve the model with a larger window",
        )
    if status == 413 or OVERFLOW.search(text):
        return RefusedRequestError("context_overflow", f"{endpoint}: {detail}", endpoint=endpoint)
    if FILTERED.search(text):
        return RefusedRequestError("content_filter", f"{endpoint}: {detail}", endpoint=endpoint)
    return RefusedRequestError("bad_request", f"{endpoint}: HTTP {status}: {detail}", endpoint=endpoint)


def find_window(detail: str) -> int:
    """The smallest window, in tokens, that a server names; 0 for none."""
    return min((int(next(filter(None, match)).replace(",", "")) for match in WINDOWS.findall(detail)), default=0)


def find_reply_cap(body: Mapping[str, Any]) -> int:
    """Maximum tokens of the reply to a request; 0 where that is left to the server."""
    caps = (body.get(name) for name in REPLY_CAPS)
    return max((cap for cap in caps if isinstance(cap, int)), default=0)
