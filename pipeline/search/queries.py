"""What every local engine does with a query before it searches."""

from __future__ import annotations

from pipeline.search.engine import SearchRequest, fail_call
from schemas.trajectories import Hit, SearchCall, SearchStatus

MAX_QUERY_CHARS = 10_000


def check_query(request: SearchRequest, k: int) -> tuple[str, SearchCall | None]:
    """The query as it can be written down, and the call that refuses it, if it cannot be searched for."""
    query = request.query.encode("utf-8", "replace").decode()  # half of a surrogate pair cannot be written down
    if k < 1:
        return query, fail_call(query[:MAX_QUERY_CHARS], f"k is {k}, must be at least 1")
    if len(query) > MAX_QUERY_CHARS:
        reason = f"query of {len(query)} characters, at most {MAX_QUERY_CHARS}"
        return query, fail_call(query[:MAX_QUERY_CHARS], reason)
    return query, None


def make_call(query: str, hits: tuple[Hit, ...]) -> SearchCall:
    """A call that was answered."""
    status = SearchStatus.OK if hits else SearchStatus.EMPTY
    return SearchCall(query=query, status=status, hits=hits, detail=None)
