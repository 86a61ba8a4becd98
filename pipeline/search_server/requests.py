"""What clients ask of POST /retrieve, as Search-R1, SkyRL, ZeroSearch and their kin write it.

Contract: a field that is not known is ignored, as those servers do; a count of 0 or null is the server's default. A
query that cannot be searched for is refused by itself, with the reason, and the rest of its batch is searched. A
request that is wrong as a whole raises HTTPException.
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
"""In one request: Search-R1 sends the queries of a whole rollout batch together."""
HALF_PAIR = re.compile("[\ud800-\udfff]")
JSON_KINDS = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", list: "a list"}
SEARCH_R1_FIELDS = {"topk", "return_scores", "details"}
"""A request of one query that names one of these comes from a client that reads Search-R1's reply, such as SkyRL."""

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
    """A request that can be answered."""

    searches: tuple[SearchRequest, ...]
    """Of the queries that can be searched for, in order."""
    refused: Mapping[int, SearchCall]
    """The calls of those that cannot, by their place in the batch."""
    k: int | None
    """Documents for each query; None: the server's default."""
    scores: bool
    """Whether each document comes with its score."""
    details: bool
    """Whether the status of each query is wanted."""
    bare: bool
    """Whether the reply is ZeroSearch's: the documents of one query and nothing else."""

    def place(self, found: Sequence[SearchCall]) -> Sequence[SearchCall]:
        """The calls of all queries in order, from those of the searches."""
        if not self.refused:
            return found
        calls = iter(found)
        return [self.refused.get(i) or next(calls) for i in range(len(found) + len(self.refused))]

    def list_errors(self) -> list[str | None] | None:
        """Why each query was refused; None where none was."""
        count = len(self.searches) + len(self.refused)
        return [self.refused[i].detail if i in self.refused else None for i in range(count)] if self.refused else None


def read_question(body: bytes) -> QueryRequest:
    """What is asked. Raises HTTPException with what is wrong with it."""
    asked = _parse(body)
    known = asked if isinstance(asked, dict) else {}
    single = known.get("queries") is None
    if single == (known.get("query") is None):
        raise HTTPException(
            422, "the body is an object with `queries` (Search-R1), or with `query` (ZeroSearch, SkyRL)"
        )
    bare = single and not SEARCH_R1_FIELDS & known.keys()
    request = _validate({**known, "queries": [known["query"]]} if single else known)
    refused = {place: call for place, query in enumerate(request.queries) if (call := _refuse(query)) is not None}
    if bare and refused and refused[0].status is SearchStatus.ERROR:
        raise HTTPException(422, str(refused[0].detail))  # a bare list has no place for it
    return QueryRequest(
        _read_searches(request, refused), refused, request.topk, request.return_scores, request.details, bare
    )


def _parse(body: bytes) -> Any:
    """The body as values. Half of a surrogate pair, which JSON may hold and text may not, costs only its own query."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        fault = error
    try:
        if b"\\u" in body:
            return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        pass
    raise HTTPException(400, f"the body is not JSON: {fault}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _validate(asked: dict[str, Any]) -> RetrieveRequest:
    try:
        return RetrieveRequest.model_validate(asked)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, faults[0]["loc"]))
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise HTTPException(422, f"{where}: {faults[0]['msg']}{more}") from None


def _refuse(query: Any) -> SearchCall | None:
    """The call of a query that cannot be searched for."""
    if not isinstance(query, str):
        return fail_call("", f"a query is text, not {JSON_KINDS.get(type(query), 'an object')}")
    if len(query) > MAX_QUERY_CHARS:
        return fail_call("", f"a query has at most {MAX_QUERY_CHARS:,} characters, not {len(query):,}")
    if not query.isascii() and HALF_PAIR.search(query):
        return fail_call("", "the query holds half of a surrogate pair, which is no character")
    return None if query.strip() else fail_call("", "the query is empty", SearchStatus.EMPTY)


def _read_searches(asked: RetrieveRequest, refused: Mapping[int, SearchCall]) -> tuple[SearchRequest, ...]:
    exclude = asked.exclude or [None] * len(asked.queries)
    if len(exclude) != len(asked.queries):
        raise HTTPException(422, f"{len(asked.queries)} queries but {len(exclude)} in `exclude`")
    pairs = enumerate(zip(asked.queries, exclude, strict=True))
    return tuple(_read_search(*pair, asked.progress) for place, pair in pairs if place not in refused)


def _read_search(query: str, exclusion: Exclusion | None, progress: float | None) -> SearchRequest:
    if exclusion is None:
        return SearchRequest(query, progress=progress)
    hide = HideMode.PASSAGE if exclusion.page_id is None else HideMode.PAGE
    return SearchRequest(query, hide, exclusion.passage_id, exclusion.page_id, progress=progress)
