"""Reply contracts: for each role, the form that its template asks for and the parser that reads it.

Guarantees of every contract: the last candidate in a reply counts, and no other is used when it is malformed; a field
of the wrong type is rejected, never converted; text is cleaned of characters that files cannot hold; an error quotes
the end of the reply. The templates of the same name contain the instructions; a test keeps the two consistent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from prompts.reply_scan import UNWRITABLE, Offer, blank_out, drop_thoughts, find_objects, find_tagged

TAIL = 200
"""Characters of a reply that its error quotes."""


class UnreadableReplyError(ValueError):
    """Reply that does not match its contract."""

    def __init__(self, problem: str, reply: str) -> None:
        tail = " ".join(reply[-TAIL:].split())
        super().__init__(f"{problem}; the reply ends: {tail!r}")
        self.problem = problem
        """Problem, without the quotation."""


def _clean(text: str) -> str:
    """Strip control characters, unpaired surrogates, and white space at both ends."""
    return UNWRITABLE.sub("", text).strip()


def _join_lines(text: str) -> str:
    return " ".join(text.split())


Text = Annotated[str, AfterValidator(_clean)]
NonEmpty = Annotated[str, AfterValidator(_clean), Field(min_length=1)]
Line = Annotated[str, AfterValidator(_clean), AfterValidator(_join_lines)]
# Bounds in `json_schema_extra` are for servers that enforce schemas. The parser does not check them: the caller knows
# the task and reports wrong numbers in its second request.
Count = Annotated[int, Field(json_schema_extra={"minimum": 1})]


class Reply(BaseModel):
    """Fields of a role's reply. Unknown keys are ignored; types are exact."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class PlanReply(Reply):
    """Reply of the planner."""

    think: NonEmpty
    mask: Count | None = None
    give_up: bool = False


class RewriteReply(Reply):
    """Reply of the rewriter."""

    queries: Annotated[list[Line], Field(min_length=1, json_schema_extra={"minItems": 3})]


class AnswerItem(Reply):
    """Answer of the observer; `mask` and `passage` count from 1."""

    mask: Count
    answer: Line | None
    passage: Count | None = None


class ObserveReply(Reply):
    """Reply of the observer."""

    conclusion: NonEmpty
    answers: Annotated[list[AnswerItem], Field(json_schema_extra={"maxItems": 4})]
    next: Literal["answer", "search_on", "give_up"]
    closing: Text = ""


class SpanItem(Reply):
    """Span of the extractor."""

    text: Line
    kind: Literal["entity", "term", "date", "number"]


class ExtractReply(Reply):
    """Reply of the extractor."""

    spans: list[SpanItem]


class AnswerReply(Reply):
    """Answer to a question from passages."""

    reason: Text = ""
    answer: Line | None


VERDICT_WORDS = {
    **{"correct": "correct", "incorrect": "incorrect", "unjudgeable": "unjudgeable"},
    **{"正确": "correct", "错误": "incorrect", "不正确": "incorrect", "无法判断": "unjudgeable"},
}
"""Accepted spellings of the verdicts."""


def _read_verdict(value: object) -> object:
    return VERDICT_WORDS.get(value.strip(" \t\n.。*\"'`").lower(), value) if isinstance(value, str) else value


class JudgeReply(Reply):
    """Reply of the judge."""

    reason: Text = ""
    verdict: Annotated[Literal["correct", "incorrect", "unjudgeable"], BeforeValidator(_read_verdict)]


R = TypeVar("R", bound=Reply)


@dataclass(frozen=True)
class ReplyContract(Generic[R]):
    """Form of a role's reply, and its parser."""

    template: str
    """Template whose instructions ask for this form."""
    form: type[R]
    """Model of the fields."""
    key: str
    """Field that identifies the object."""
    tag: str = ""
    """Tag that may contain the key's value instead of an object."""
    several: bool = False
    """Whether the tag may occur several times, its values making a list."""
    line: re.Pattern[str] | None = None
    """Pattern of a line that may contain the key's value instead."""

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """Return the JSON schema for a server that can enforce one: every field required, no other allowed."""
        return _close_schema(self.form.model_json_schema())

    def narrow(self, most: Mapping[str, int]) -> Mapping[str, Any]:
        """Return the schema with the largest value (or length of a list) that a task allows for named fields."""
        return _narrow_contract(self, tuple(sorted(most.items()))) if most else self.schema

    def read(self, text: str) -> R:
        """Read the last candidate of the reply. Raises UnreadableReplyError when there is none or it is malformed."""
        visible = drop_thoughts(text)
        offers = self._find_offers(visible)
        if not offers:
            raise UnreadableReplyError(f'no object with "{self.key}"', text)
        last = max(offers, key=lambda offer: offer.start)
        if last.fields is None:
            raise UnreadableReplyError("the object is broken or cut off", text)
        try:
            return self.form.model_validate(last.fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UnreadableReplyError(f"{where}: {first['msg']}", text) from error

    def _find_offers(self, visible: str) -> list[Offer]:
        objects = list(find_objects(visible))
        quoted_key = f'"{self.key}"'
        offers = [
            offer
            for offer in objects
            if (quoted_key in visible[offer.start : offer.end] if offer.fields is None else self.key in offer.fields)
        ]
        prose = blank_out(visible, objects)
        tagged = list(find_tagged(prose, self.tag)) if self.tag else []
        if self.several and tagged:
            values: object = [value for _, value in tagged]
            return [*offers, Offer(tagged[0][0], tagged[0][0], {self.key: values})]
        if self.line is not None:
            tagged += [(match.start(), match[1]) for match in self.line.finditer(prose)]
        return [*offers, *(Offer(start, start, {self.key: value}) for start, value in tagged)]


def _close_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Inline definitions, require every property and forbid all others, as servers in strict mode demand."""
    definitions = schema.pop("$defs", {})

    def close(node: Any) -> Any:
        if isinstance(node, list):
            return [close(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return close(definitions[node["$ref"].rsplit("/", 1)[-1]])
        if isinstance(node.get("properties"), dict):
            properties = {name: close(part) for name, part in node["properties"].items()}
            closed = {"required": list(properties), "additionalProperties": False}
            return {"type": "object", "properties": properties, **closed}
        return {key: close(value) for key, value in node.items() if key not in ("title", "default", "description")}

    closed: dict[str, Any] = close(schema)
    return closed


@cache
def _narrow_contract(contract: ReplyContract[Any], most: tuple[tuple[str, int], ...]) -> Mapping[str, Any]:
    narrow: Mapping[str, Any] = _narrow_schema(contract.schema, dict(most))
    return narrow


def _narrow_schema(node: Any, most: Mapping[str, int], name: str = "") -> Any:
    """Return the schema with an upper bound for each integer and list named in `most`."""
    if isinstance(node, list):
        return [_narrow_schema(item, most, name) for item in node]
    if not isinstance(node, dict):
        return node
    bound = {"integer": "maximum", "array": "maxItems"}.get(str(node.get("type")))
    narrow = {key: _narrow_schema(part, most, name) for key, part in node.items() if key != "properties"}
    if "properties" in node:
        narrow["properties"] = {key: _narrow_schema(part, most, key) for key, part in node["properties"].items()}
        narrow = {key: narrow[key] for key in node}  # servers write replies in the order of the schema
    return narrow | {bound: most[name]} if bound and name in most else narrow


_VERDICT_LINE = re.compile(
    r"(?:^[ \t*#>]*(?:(?:final )?verdict|结论|判定)[ \t*]*[:：]|\A(?=\s*\S+\s*\Z))\s*(\S[^\n]*)", re.IGNORECASE | re.M
)
"""`Verdict: ...` on a line of its own, or a reply of one word."""

PLAN = ReplyContract("plan", PlanReply, "think")
REWRITE = ReplyContract("rewrite", RewriteReply, "queries", tag="query", several=True)
OBSERVE = ReplyContract("observe", ObserveReply, "conclusion")
EXTRACT = ReplyContract("extract_spans", ExtractReply, "spans")
JUDGE = ReplyContract("judge_answer", JudgeReply, "verdict", tag="verdict", line=_VERDICT_LINE)
ANSWER = ReplyContract("answer_passages", AnswerReply, "answer", tag="answer")
