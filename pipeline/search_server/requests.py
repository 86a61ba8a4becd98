"""Requests to search, in the forms of the field's retrieval servers.

    POST /retrieve       Search-R1, verl, slime, ASearcher: `queries`; ZeroSearch, SkyRL: `query`
    POST /search         ReSearch, ReCall: `query`, `top_n`; OpenResearcher: `query`, `topn`; Serper's clients: `q`
    POST /batch_search   ReSearch: `query`, a list
    POST /queries        R1-Searcher: `queries`, `k`

Contract: unknown fields are ignored, as those servers do; a count of 0 or null is the server's default. An invalid
query is refused by itself, with the reason, and the rest of its batch is searched, where the reply has a place for the
reason; elsewhere it refuses the request. An invalid request raises HTTPException.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, NoReturn, TypeVar

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
SEARCH_PATHS = ("/retrieve", "/search", "/batch_search", "/queries")


class ReplyForm(StrEnum):
    """Form of a reply, named after who reads it."""

    SEARCH_R1 = "search-r1"
    ZEROSEARCH = "zerosearch"
    RESEARCH = "research"
    RESEARCH_BATCH = "research-batch"
    R1_SEARCHER = "r1-searcher"
    OPEN_RESEARCHER = "open-researcher"
    SERPER = "serper"


B = TypeVar("B", bound=BaseModel)
COUNTS = ("topk", "top_k", "k", "top_n", "topn", "num")
Query = Annotated[Any, WithJsonSchema({"type": "string", "maxLength": MAX_QUERY_CHARS})]


class Exclusion(BaseModel):
    """What of a task's source is hidden from one query. Unknown fields are refused: less would be hidden than asked."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    passage_id: str
    """The source passage."""
    page_id: int | None = None
    """The source page, where all of it is hidden."""

    @property
    def hide(self) -> HideMode:
        """How much of the source is hidden."""
        return HideMode.PASSAGE if self.page_id is None else HideMode.PAGE


class RetrieveRequest(BaseModel):
    """The body of POST /retrieve. Fields that are not listed here are ignored."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    queries: list[Query] = Field(default=[], max_length=MAX_QUERIES)
    """What is searched for: a batch."""
    query: Query = None
    """One query, in place of `queries`. The reply is ZeroSearch's list of documents; with `topk`, `return_scores` or
    `details` it is Search-R1's reply for a batch of one, as SkyRL reads it."""
    topk: int | None = Field(default=None, ge=0, le=MAX_K, validation_alias=AliasChoices(*COUNTS))
    """Documents for each query; 0 or null: as many as the server was started with. `top_k`, `k`, `top_n`, `topn` and
    `num` mean the same."""
    return_scores: bool = Field(default=False, validation_alias=AliasChoices("return_scores", "return_score"))
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
    form: ReplyForm = ReplyForm.SEARCH_R1

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


def read_request(body: bytes, path: str = "/retrieve", withheld: Exclusion | None = None) -> QueryRequest:
    """The request in a body. `withheld`: the source of the task that the client named, hidden from all its queries.

    Raises HTTPException with the reason for an invalid one.
    """
    fields = parse_object(body)
    form, queries = _tell_form(fields, path)
    request = validate(RetrieveRequest, {**fields, "queries": queries})
    if withheld is not None:
        if request.exclude is not None:
            raise HTTPException(422, "`exclude` says what is hidden, and so does the task; send one of them")
        request.exclude = [withheld] * len(request.queries)
    refused = {index: call for index, query in enumerate(request.queries) if (call := _refuse(query)) is not None}
    errors = [call for call in refused.values() if call.status is SearchStatus.ERROR]
    if errors and form is not ReplyForm.SEARCH_R1:
        raise HTTPException(422, str(errors[0].detail))  # the reply has no place for it
    searches = _read_searches(request, refused)
    return QueryRequest(searches, refused, request.topk, request.return_scores, request.details, form)


def _tell_form(fields: Mapping[str, Any], path: str) -> tuple[ReplyForm, Any]:
    """The form of the reply and the queries. Raises HTTPException for a body without queries."""
    if path == "/retrieve":
        single = fields.get("queries") is None
        if single == (fields.get("query") is None):
            raise HTTPException(
                422, "the body is an object with `queries` (Search-R1), or with `query` (ZeroSearch, SkyRL)"
            )
        bare = single and not SEARCH_R1_FIELDS & fields.keys()
        form = ReplyForm.ZEROSEARCH if bare else ReplyForm.SEARCH_R1
        return form, [fields["query"]] if single else fields["queries"]
    if path == "/search" and fields.get("q") is not None:
        return ReplyForm.SERPER, [fields["q"]]
    name = "queries" if path == "/queries" else "query"
    queries = fields.get(name)
    if queries is None:
        raise HTTPException(422, f"the body is an object with `{name}`")
    if path == "/search":
        return ReplyForm.OPEN_RESEARCHER if "topn" in fields else ReplyForm.RESEARCH, [queries]
    return ReplyForm.R1_SEARCHER if path == "/queries" else ReplyForm.RESEARCH_BATCH, queries


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; an empty one for another value. Raises HTTPException."""
    value = _parse(body)
    return value if isinstance(value, dict) else {}


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


def validate(kind: type[B], fields: dict[str, Any]) -> B:
    """The body of a request. Raises HTTPException with the first error."""
    try:
        return kind.model_validate(fields)
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
    return SearchRequest(query, exclusion.hide, exclusion.passage_id, exclusion.page_id, progress=progress)
