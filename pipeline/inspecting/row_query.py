"""Rows of any dataset: those a condition lets through, a page of them, or a sample that is the same each time."""

# the user's condition is meant to be SQL: `select` lets nothing but one SELECT through
from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.inspecting.attempts_table import ATTEMPTS
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.reading import find_id_column
from pipeline.inspecting.readonly_database import Found, ReadonlyDatabase, quote_name
from schemas.trajectories import Trajectory

PLACES = frozenset({"t_file", "t_row", "k_file", "k_row", "j_file", "j_row"})
"""Columns of `attempts` that mean nothing to people."""


class Draw(StrEnum):
    """Which of the rows."""

    FIRST = "first"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Which rows are wanted."""

    dataset: str
    where: str = ""
    """A condition in SQL; empty lets every row through."""
    limit: int = 20
    offset: int = 0
    sort: str = ""
    """A column; empty leaves the order of the shards."""
    down: bool = False
    draw: Draw = Draw.FIRST
    seed: int = 0


@dataclass(frozen=True, slots=True)
class RowPage:
    """What it brought."""

    dataset: str
    total: int
    """Rows that the condition lets through."""
    found: Found = field(repr=False)


def read_rows(database: ReadonlyDatabase, wanted: RowQuery) -> RowPage:
    """The rows. Raises InspectError for a condition that is none."""
    known = {*database.listing.datasets, ATTEMPTS} if has_attempts(database) else set(database.listing.datasets)
    if wanted.dataset not in known:
        raise InspectError(f"no dataset {wanted.dataset!r} lies here", f"there are: {', '.join(sorted(known))}")
    columns = database.columns(wanted.dataset)
    # The line break ends a comment in which the condition may end.
    source = f"FROM {quote_name(wanted.dataset)}" + (f" WHERE ({wanted.where}\n)" if wanted.where.strip() else "")
    total = int(database.select(f"SELECT count(*) {source}").rows[0][0])
    shown = ", ".join(quote_name(name) for name in columns if wanted.dataset != ATTEMPTS or name not in PLACES)
    order = _order(wanted, columns)
    found = database.select(f"SELECT {shown} {source} {order} LIMIT {wanted.limit} OFFSET {wanted.offset}")
    return RowPage(wanted.dataset, total, found)


def has_attempts(database: ReadonlyDatabase) -> bool:
    """Whether there are trajectories, and so the table `attempts`."""
    return Trajectory.dataset in database.listing.datasets


def _order(wanted: RowQuery, columns: dict[str, str]) -> str:
    if wanted.draw is Draw.SAMPLE:
        key = find_id_column(wanted.dataset, columns) or next(iter(columns))
        return f"ORDER BY hash({quote_name(key)}, {wanted.seed})"
    if not wanted.sort:
        return ""
    if wanted.sort not in columns:
        raise InspectError(f"{wanted.dataset} has no column {wanted.sort!r}", f"it has: {', '.join(columns)}")
    return f"ORDER BY {quote_name(wanted.sort)} {'DESC' if wanted.down else 'ASC'} NULLS LAST"
