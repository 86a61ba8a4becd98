"""Probes of model servers: one token for each role, to find before a run, at almost no cost, what it would meet.

Guarantees: the request is the role's own (see `role_requests`); transient errors are retried a few times; a server that
is up but busy is a warning, and any other obstacle a failure that names its cause.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from flows.checks.endpoints import suggest_base
from flows.checks.findings import State
from flows.checks.role_requests import shorten, write_request
from flows.models.credentials import open_credentials, read_endpoint_keys
from pipeline.errors import RampforgeError
from pipeline.http.errors import ThrottledError, UnavailableError
from pipeline.llm.chat_model import ChatReply, NoReplyError, RefusedParameterError, RefusedRequestError
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.prices import PriceTable
from pipeline.llm.request_form import ReplyFormat
from pipeline.llm.roles import find_role
from pipeline.llm.usage_log import CallUsage
from schemas.config import RunConfig
from schemas.llm_config import LimitsConfig, LlmConfig
from schemas.roles import Role

PROBE_SECONDS = 30.0
LIMITS = LimitsConfig(deadline=PROBE_SECONDS, tries=4, max_wait=2.0, give_up=PROBE_SECONDS)
REFUSED_KEY = re.compile(
    r"no connected db|(invalid|incorrect|wrong) (api[ _-]?|proxy )?(key|token)|api[ _-]?key not valid"
    r"|api[ _-]?key.{0,20}(expired|missing|invalid)|authentication error|unauthori[sz]ed",
    re.IGNORECASE,
)
"""Messages by which servers that answer 400 reject the API key."""
NO_ROOM = re.compile(r"output limit|max_tokens.{0,30}too (small|low)|minimum value", re.IGNORECASE)
"""One token is too few for some reasoning models: they are up, and accepted the request."""
SCHEMA_NOTE = "it does not enforce JSON schemas: replies are parsed leniently"


class Pair(NamedTuple):
    """Role and server."""

    role: str
    host: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Result of a probe."""

    state: State
    detail: str
    fix: str = ""
    entry: CallUsage | None = None
    """Entry of the usage log, if tokens were spent."""


def ask_all(config: RunConfig, pairs: Sequence[Pair]) -> dict[Pair, ProbeResult]:
    """Probe every role at every server concurrently."""

    async def gather() -> list[ProbeResult]:
        return await asyncio.gather(*(_ask(config, pair) for pair in pairs))

    if not pairs:
        return {}
    with ThreadPoolExecutor(1) as thread:  # whether or not an event loop runs in this one
        return dict(zip(pairs, thread.submit(asyncio.run, gather()).result(), strict=True))


async def _ask(config: RunConfig, pair: Pair) -> ProbeResult:
    began = time.time()
    try:
        reply, note = await _ask_once(config, pair)
    except (RampforgeError, TimeoutError) as error:
        return await _explain(config, pair, error)
    price = PriceTable(config.llm.prices).cost(reply.model, reply.prompt_tokens, reply.completion_tokens)
    ended = time.time()
    tokens = (reply.prompt_tokens, reply.completion_tokens)
    entry = CallUsage(pair.role, reply.model, *tokens, price, round(ended, 4), round(ended - began, 4))
    return ProbeResult(State.WARN if note else State.OK, note, entry=entry)


async def _ask_once(config: RunConfig, pair: Pair) -> tuple[ChatReply, str]:
    """Return the reply and a remark. Raises RampforgeError, TimeoutError."""
    role = shorten(find_role(config.llm, pair.role))
    endpoint = config.llm.endpoints[pair.host].model_copy(update={"roles": (), "metrics": False})
    llm = LlmConfig(roles={pair.role: role}, endpoints={pair.host: endpoint}, limits=LIMITS)
    model = OpenAiChatModel(llm, read_endpoint_keys([endpoint]))
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reply = await model.ask(write_request(config, pair.role))
        form, _ = model.endpoints[0].form(pair.role, role)
        return reply, "" if form.reply_format is ReplyFormat.SCHEMA else SCHEMA_NOTE
    finally:
        await model.close()


async def _explain(config: RunConfig, pair: Pair, error: Exception) -> ProbeResult:
    cause = error.__cause__ if isinstance(error, NoReplyError) else error
    if isinstance(cause, ThrottledError | TimeoutError):
        message = str(cause) or f"no token within {PROBE_SECONDS:g} s"
        return ProbeResult(State.WARN, f"{pair.host} is busy: {message}")
    if not isinstance(error, RampforgeError):
        raise error
    if isinstance(error, RefusedParameterError):
        return _explain_refusal(pair, error)
    if isinstance(error, RefusedRequestError):
        if error.reason == "content_filter" or NO_ROOM.search(error.what):
            return ProbeResult(State.OK, "")
        return _explain_refusal(pair, error)
    if "HTTP 404" in error.what:
        endpoint = config.llm.endpoints[pair.host]
        base = await asyncio.to_thread(suggest_base, endpoint, open_credentials(pair.host, endpoint))
        if base:
            fix = f"set llm.endpoints.{pair.host}.url={base}"
            return ProbeResult(State.FAIL, f"{pair.host}: no API at {endpoint.url} (HTTP 404)", fix)
    if isinstance(error, NoReplyError):
        fix = f"check that llm.endpoints.{pair.host}.url is the base URL of an OpenAI-compatible API"
        if isinstance(cause, UnavailableError):
            unkeyed = config.llm.endpoints[pair.host].key is None
            fix = f"see the server's log; check llm.roles.{pair.role}.model"
            fix += f" and, if the server needs a key, llm.endpoints.{pair.host}.key" * unkeyed
        return ProbeResult(State.FAIL, f"{pair.host}: {error.what}", error.fix or fix)
    return ProbeResult(State.FAIL, error.what, error.fix)


def _explain_refusal(pair: Pair, error: RefusedRequestError | RefusedParameterError) -> ProbeResult:
    """Return the part of a request that a server rejects permanently."""
    if REFUSED_KEY.search(error.what):
        detail = f"{error.what}: the server rejects the API key"
        return ProbeResult(State.FAIL, detail, "set the variable named by `key` to a valid key")
    if pair.role == Role.POLICY:
        return ProbeResult(
            State.FAIL,
            f"{error.what}: the server does not return token ids, so loss masks would not be exact",
            "serve the model with vLLM: set serving.mode=managed, or start `vllm serve` elsewhere",
        )
    return ProbeResult(State.FAIL, error.what, error.fix or f"correct llm.roles.{pair.role}")
