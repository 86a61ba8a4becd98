"""Requests to POST /retrieve, in the forms of Search-R1, SkyRL and ZeroSearch.

Contract: unknown fields are ignored, as those servers do; a count of 0 or null is the server's default. An invalid
query is refused by itself, with the reason, and the rest of its batch is searched. An invalid request raises
HTTPException.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import orjson
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from starlette.exceptions import HTTPException

from pipeline.search.engine import MAX_QUERY_CHARS, SearchRequest, fail_call
from pipeline.search.remote.retrieve_protocol import MAX_K
from schemas.trajectories import HideMode, SearchCall, SearchStatus

MAX_QUERIES = 8192
"""Per request: Search-R1 sends the queries of a rollout batch together."""
HALF_PAIR = re.compile("[\ud800-\udfff]")
JSON_KINDS = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", list: "a list"}
SEARCH_R1_FIELDS = {"topk", "return_scores", "details"}
"""A request of one query with one of these is from a client that reads Search-R1's reply, such as SkyRL."""

Query = Annotated[Any, WithJsonSchema({"type": "string", "maxLength": MAX_QUERY_CHARS})]


class Exclusion(BaseModel):
    """What of a task's source is hidden from one query. Unknown fields are refused: less would be hidden than asked."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    passage_id: str
    """The source passage."""
    page_id: int | None = None
    """The source page, where all of it is hidden."""


class RetrieveRequest(BaseModel):
    """The body of POST /retrieve. Fields that are not listed here are ignored."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    queries: list[Query] = Field(default=[], max_length=MAX_QUERIES)
    """What is searched for: a batch."""
    query: Query = None
    """One query, in place of `queries`. The reply is ZeroSearch's list of documents; with `topk`, `return_scores` or
    `details` it is Search-R1's reply for a batch of one, as SkyRL reads it."""
    topk: int | None = Field(default=None, ge=0, le=MAX_K, validation_alias=AliasChoices("topk", "top_k", "k"))
    """Documents for each query; 0 or null: as many as the server was started with. `top_k` and `k` mean the same."""
    return_scores: bool = False
    """Whether each document comes with its score."""
    exclude: list[Exclusion | None] | None = None
    """For each query, what of the corpus is hidden from it."""
    details: bool = False
    """Whether the reply has the status of each query and the parts of each document."""
    progress: float | None = Field(default=None, ge=0, le=1)
    """How far the training that asks is: a simulated engine takes its share of noise from it, others ignore it."""


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """A valid request."""

    searches: tuple[SearchRequest, ...]
    """Of the valid queries, in order."""
    refused: Mapping[int, SearchCall]
    """Calls of the invalid queries, by their index in the batch."""
    k: int | None
    """Documents per query; None: the server's default."""
    scores: bool
    """Whether the reply has scores."""
    details: bool
    """Whether the reply has the status of each query."""
    bare: bool
    """Whether the reply is ZeroSearch's: a list of documents."""

    def merge(self, searched: Sequence[SearchCall]) -> Sequence[SearchCall]:
        """The calls of all queries in order, given those of the searches."""
        if not self.refused:
            return searched
        calls = iter(searched)
        return [self.refused.get(i) or next(calls) for i in range(len(searched) + len(self.refused))]

    def list_errors(self) -> list[str | None] | None:
        """The reason for each refused query; None when none was refused."""
        count = len(self.searches) + len(self.refused)
        return [self.refused[i].detail if i in self.refused else None for i in range(count)] if self.refused else None


def read_request(body: bytes) -> QueryRequest:
    """The request in a body. Raises HTTPException with the reason for an invalid one."""
    value = _parse(body)
    fields = value if isinstance(value, dict) else {}
    single = fields.get("queries") is None
    if single == (fields.get("query") is None):
        raise HTTPException(
            422, "the body is an object with `queries` (Search-R1), or with `query` (ZeroSearch, SkyRL)"
        )
    bare = single and not SEARCH_R1_FIELDS & fields.keys()
    request = _validate({**fields, "queries": [fields["query"]]} if single else fields)
    refused = {index: call for index, query in enumerate(request.queries) if (call := _refuse(query)) is not None}
    if bare and refused and refused[0].status is SearchStatus.ERROR:
        raise HTTPException(422, str(refused[0].detail))  # a bare list cannot report it
    return QueryRequest(
        _read_searches(request, refused), refused, request.topk, request.return_scores, request.details, bare
    )


def _parse(body: bytes) -> Any:
    """The JSON value of a body. An unpaired surrogate, legal in JSON and not in text, refuses only its own query."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        failure = error
    try:
        if b"\\u" in body:
            return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        pass
    raise HTTPException(400, f"the body is not JSON: {failure}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _validate(fields: dict[str, Any]) -> RetrieveRequest:
    try:
        return RetrieveRequest.model_validate(fields)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, errors[0]["loc"]))
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise HTTPException(422, f"{where}: {errors[0]['msg']}{more}") from None


def _refuse(query: Any) -> SearchCall | None:
    """The call of an invalid query."""
    if not isinstance(query, str):
        return fail_call("", f"a query is text, not {JSON_KINDS.get(type(query), 'an object')}")
    if len(query) > MAX_QUERY_CHARS:
        return fail_call("", f"a query has at most {MAX_QUERY_CHARS:,} characters, not {len(query):,}")
    if not query.isascii() and HALF_PAIR.search(query):
        return fail_call("", "the query holds half of a surrogate pair, which is no character")
    return None if query.strip() else fail_call("", "the query is empty", SearchStatus.EMPTY)


def _read_searches(request: RetrieveRequest, refused: Mapping[int, SearchCall]) -> tuple[SearchRequest, ...]:
    exclude = request.exclude or [None] * len(request.queries)
    if len(exclude) != len(request.queries):
        raise HTTPException(422, f"{len(request.queries)} queries but {len(exclude)} in `exclude`")
    pairs = enumerate(zip(request.queries, exclude, strict=True))
    return tuple(_read_search(*pair, request.progress) for index, pair in pairs if index not in refused)


def _read_search(query: str, exclusion: Exclusion | None, progress: float | None) -> SearchRequest:
    if exclusion is None:
        return SearchRequest(query, progress=progress)
    hide = HideMode.PASSAGE if exclusion.page_id is None else HideMode.PAGE
    return SearchRequest(query, hide, exclusion.passage_id, exclusion.page_id, progress=progress)
