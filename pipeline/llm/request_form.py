"""The form in which a server takes requests: names of parameters, structured output, streaming.

Contract: a request has one canonical body, its identity; what is sent is that body in the form of the endpoint. A form
is known by the configuration and the model's family, or learned from a refusal: every refusal that may be due to the
form gives another one to try, until a request is answered or its plainest form is refused too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.http.errors import HttpStatusError
from schemas.llm_config import EndpointConfig, RoleModelConfig

REASONING_FAMILY = re.compile(r"(?:^|/)(?:o[1345](?:-|$)|gpt-5(?!.*chat))", re.IGNORECASE)
"""Models of OpenAI that take `max_completion_tokens`, and sampling by their default only."""
REASONING_PARAMETERS: Mapping[str, str | None] = {
    "max_tokens": "max_completion_tokens",
    "temperature": None,
    "top_p": None,
}
UNSTRUCTURED = re.compile(
    r"response.?format|json.?(schema|mode|object|validate)|guided|structured|grammar|schema|constrained.?decoding"
    r"|additionalProperties|uniqueItems|(min|max)(Items|Length)|['\"`](min|max)imum['\"`]|xgrammar|outlines",
    re.IGNORECASE,
)
"""Words about structured output."""
STREAM_ONLY = re.compile(
    r"(only|must|requires?|need).{0,40}\bstream|\bstream\w*\W.{0,40}(only|must|required|be true|to be set)"
    r"|non.?stream\w*.{0,60}(not|un)",
    re.IGNORECASE,
)
UNSUPPORTED = re.compile(
    r"(unsupported|unknown|unrecogni[sz]ed|unexpected|extra|invalid) (request )?(parameter|argument|field|value|input)"
    r"|(is|are) not (supported|permitted|allowed)|does not support|not supported",
    re.IGNORECASE,
)
FORM_STATUSES = frozenset({400, 404, 415, 422, 500, 501})
"""Statuses of a refusal that may be due to the form of a request."""


class ReplyFormat(IntEnum):
    """Modes of structured output, strictest first."""

    SCHEMA = 0
    OBJECT = 1
    TEXT = 2


@dataclass(frozen=True, slots=True)
class RequestForm:
    """How an endpoint takes the requests of a role."""

    parameters: Mapping[str, str | None] = field(default_factory=dict)
    """Name of a parameter there, or None for one that is left out."""
    stream: bool = False
    """Whether replies are requested as a stream."""
    reply_format: ReplyFormat = ReplyFormat.SCHEMA

    def apply(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is sent for a canonical body: the body itself where nothing differs."""
        changes = self.stream or not self.parameters.keys().isdisjoint(body)
        if not changes and (self.reply_format is ReplyFormat.SCHEMA or "response_format" not in body):
            return body
        sent = dict(body)
        if self.reply_format is ReplyFormat.OBJECT and "response_format" in sent:
            sent["response_format"] = {"type": "json_object"}
        elif self.reply_format is ReplyFormat.TEXT:
            sent.pop("response_format", None)
        if self.stream:
            sent |= {"stream": True, "stream_options": {"include_usage": True}}
        for name in [name for name in self.parameters if name in sent]:
            value, other = sent.pop(name), self.parameters[name]
            if other is not None:
                sent.setdefault(other, value)
        return sent

    def rename(self, name: str, other: str | None) -> RequestForm:
        """The form with another name for a parameter, or without it."""
        return replace(self, parameters={**self.parameters, name: other})

    def learn(self, error: HttpStatusError, sent: Mapping[str, Any], lenient: bool) -> RequestForm | None:
        """The form to try after a refusal of what was sent; None where the refusal is not about the form.

        `lenient`: whether a refusal without a word about the form may be due to it all the same.
        """
        text = error.text
        if error.status not in FORM_STATUSES:
            return None
        if "stream" not in sent and STREAM_ONLY.search(text):
            return replace(self, stream=True)
        if "stream_options" in sent and "stream_options" in text:
            return self.rename("stream_options", None)
        if "max_tokens" in sent and re.search(r"\bmax_completion_tokens\b", text) and UNSUPPORTED.search(text):
            return self.rename("max_tokens", "max_completion_tokens")
        renamed = self.parameters.get("max_tokens")
        if renamed and find_unsupported(text, sent) == renamed and not re.search(r"\bmax_tokens\b", text):
            return self.rename("max_tokens", "max_tokens")
        names_format = error.status == 501 or UNSTRUCTURED.search(text) is not None
        if "response_format" in sent and self.reply_format is not ReplyFormat.TEXT and (names_format or lenient):
            return replace(self, reply_format=ReplyFormat(self.reply_format + 1))
        return None


def make_form(endpoint: EndpointConfig, role: RoleModelConfig) -> RequestForm:
    """The form for a role's model by configuration and family. What the role sets itself is sent as it is set."""
    known = REASONING_PARAMETERS if REASONING_FAMILY.search(role.model) else {}
    set_by_role = {name for name in ("temperature", "top_p") if getattr(role, name) is not None} | role.extra.keys()
    parameters = {name: other for name, other in known.items() if name not in set_by_role}
    return RequestForm(parameters | endpoint.parameters, endpoint.stream)


def find_unsupported(text: str, body: Mapping[str, Any]) -> str | None:
    """The parameter of the body that a server says it does not take at all, whatever the item."""
    if not UNSUPPORTED.search(text):
        return None
    names = (name for name in body if name not in ("model", "messages", "prompt"))
    return next((name for name in names if re.search(rf"\b{re.escape(name)}\b", text)), None)


def locate(endpoint: EndpointConfig, path: str, model: str) -> str:
    """The path of a request below the base URL: in Azure, of the model's deployment unless the URL names one."""
    base = urlsplit(endpoint.url).path.rstrip("/")
    if endpoint.api_version is None or "/deployments/" in base or base.endswith("/v1"):
        return path
    return f"/deployments/{quote(model, safe='')}{path}"
