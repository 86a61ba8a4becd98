"""Pages of the table `attempts`, and neighbours of an attempt.

Guarantees: a page costs one sort of narrow keys; only the rows shown are read in full.
"""

# ruff: noqa: S608  # SQL consists of constants; outside text is passed as parameters
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.inspecting.attempt_filter import AttemptFilter
from pipeline.inspecting.readonly_database import ReadonlyDatabase

PAGE_ROWS = 50


@dataclass(frozen=True, slots=True)
class AttemptPage:
    """Page of the attempts that match a filter."""

    number: int
    """Counted from 1."""
    pages: int
    total: int
    """Attempts that match the filter."""
    rows: list[dict[str, Any]]
    """Columns of `attempts`."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Attempts before and after one, in the order of a filter; None at either end."""

    before: str | None
    after: str | None


def narrow(database: ReadonlyDatabase, filters: AttemptFilter) -> tuple[str, list[Any]]:
    """The filter as a condition over `attempts a`, with its parameters. The search for words is cached."""
    condition, values = filters.conditions()
    words = filters.word_query()
    if words is None:
        return condition, values
    column, sql, parameters = words
    return f"{condition} AND a.{column} IN (FROM {database.cache_result(sql, parameters)})", values


def read_page(database: ReadonlyDatabase, filters: AttemptFilter, number: int, size: int = PAGE_ROWS) -> AttemptPage:
    """A page; the last one for a number past the end."""
    condition, values = narrow(database, filters)
    total = database.query(f"SELECT count(*) FROM attempts a WHERE {condition}", values).rows[0][0]
    pages = max(1, -(-total // size))
    number = max(1, min(number, pages))
    start, count = (number - 1) * size, min(size, total - (number - 1) * size)
    backwards = start > total // 2  # a heap of the first n rows is cheap for a small n: count from the nearer end
    offset = total - start - count if backwards else start
    order = f"ORDER BY {_order(filters, backwards)} LIMIT {count} OFFSET {offset}"
    rows = database.query(f"SELECT * FROM attempts a WHERE {condition} {order}", values).as_dicts()
    return AttemptPage(number, pages, total, rows[::-1] if backwards else rows)


def find_neighbours(database: ReadonlyDatabase, filters: AttemptFilter, trajectory_id: str) -> Neighbours:
    """The neighbours of an attempt, which need not match the filter itself."""
    condition, values = narrow(database, filters)
    column = filters.sort_column()
    rows = database.query(f"SELECT {column} FROM attempts a WHERE a.trajectory_id = ?", [trajectory_id], None).rows
    if not rows:
        return Neighbours(None, None)
    here = [rows[0][0], rows[0][0], trajectory_id]
    lower, higher = (f"({column} {sign} ? OR ({column} = ? AND a.trajectory_id {sign} ?))" for sign in "<>")
    # Both in one pass: with a million rows this is most of the time to open an attempt.
    key = f"ROW({column}, a.trajectory_id)"
    (sides,) = database.query(
        f"SELECT max({key}) FILTER ({lower}), min({key}) FILTER ({higher}) FROM attempts a WHERE {condition}",
        [*here, *here, *values],
    ).rows
    before, after = (side[1] if side is not None else None for side in sides)
    return Neighbours(after, before) if filters.down else Neighbours(before, after)


def list_choices(database: ReadonlyDatabase) -> dict[str, list[Any]]:
    """Values of the columns with few values, for the menus of the filter."""
    choices: dict[str, list[Any]] = {}
    for column in ("reason", "stop_reason", "masks", "lang", "policy", "hide", "shown_by", "verdict", "round"):
        sql = f"SELECT DISTINCT {column} FROM attempts WHERE {column} IS NOT NULL ORDER BY 1 LIMIT 50"
        choices[column] = [row[0] for row in database.query(sql).rows]
    kinds = "SELECT DISTINCT unnest(string_split(kinds, '+')) FROM attempts WHERE kinds <> '' ORDER BY 1 LIMIT 20"
    return choices | {"kind": [row[0] for row in database.query(kinds).rows]}


def _order(filters: AttemptFilter, backwards: bool) -> str:
    direction = "DESC" if filters.down != backwards else "ASC"
    return f"{filters.sort_column()} {direction}, a.trajectory_id {direction}"
