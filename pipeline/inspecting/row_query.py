"""Rows of any dataset under a condition: a page of them, or a reproducible sample."""

# the user's condition is SQL: `select` admits nothing but one SELECT
from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.inspecting.attempts_table import ATTEMPTS
from pipeline.inspecting.conditions import check_condition, enclose_condition
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.reading import find_id_column
from pipeline.inspecting.readonly_database import QueryResult, ReadonlyDatabase, quote_name
from schemas.trajectories import Trajectory

PLACES = frozenset({"t_file", "t_row", "k_file", "k_row", "j_file", "j_row"})
"""Internal columns of `attempts`: position of each row in the shards."""


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Query of rows."""

    dataset: str
    where: str = ""
    """Condition in SQL; empty for all rows."""
    limit: int = 20
    offset: int = 0
    sort: str = ""
    """Column; empty for the order of the shards."""
    down: bool = False
    sample_seed: int | None = None
    """Seed of a sample; None for the first rows."""


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows of a query."""

    dataset: str
    total: int
    """Rows that match the condition."""
    searched: int
    """Rows of the dataset, whether they match or not."""
    result: QueryResult = field(repr=False)


def read_rows(database: ReadonlyDatabase, query: RowQuery) -> RowPage:
    """The rows. Raises InspectError for an invalid condition."""
    known = {*database.listing.datasets, ATTEMPTS} if has_attempts(database) else set(database.listing.datasets)
    if query.dataset not in known:
        raise InspectError(f"no dataset {query.dataset!r} here", f"there are: {', '.join(sorted(known))}")
    columns = database.columns(query.dataset)
    source = f"FROM {quote_name(query.dataset)}"
    if query.where:
        enclosed = enclose_condition(query.where)
        check_condition(database, query.dataset, enclosed)
        source += f" WHERE {enclosed}"
    total = int(database.select(f"SELECT count(*) {source}").rows[0][0])
    shown = ", ".join(quote_name(name) for name in columns if query.dataset != ATTEMPTS or name not in PLACES)
    order = _order(query, columns)
    result = database.select(f"SELECT {shown} {source} {order} LIMIT {query.limit} OFFSET {query.offset}")
    searched = database.listing.rows(Trajectory.dataset if query.dataset == ATTEMPTS else query.dataset)
    return RowPage(query.dataset, total, searched, result)


def has_attempts(database: ReadonlyDatabase) -> bool:
    """Whether there are trajectories, and so the table `attempts`."""
    return Trajectory.dataset in database.listing.datasets


def _order(query: RowQuery, columns: dict[str, str]) -> str:
    if query.sample_seed is not None:
        key = find_id_column(query.dataset, columns) or next(iter(columns))
        return f"ORDER BY hash({quote_name(key)}, {query.sample_seed})"
    if not query.sort:
        return ""
    if query.sort not in columns:
        raise InspectError(f"{query.dataset} has no column {query.sort!r}", f"it has: {', '.join(columns)}")
    return f"ORDER BY {quote_name(query.sort)} {'DESC' if query.down else 'ASC'} NULLS LAST"
