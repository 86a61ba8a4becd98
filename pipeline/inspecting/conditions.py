"""Conditions in SQL that users write over a dataset, checked before rows are read."""

# ruff: noqa: S608  # the user's condition is SQL: ReadonlyDatabase admits nothing but one SELECT
from __future__ import annotations

from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.readonly_database import ReadonlyDatabase, check_select, quote_name

EXAMPLE = "write a condition as in SQL, such as \"hide = 'passage'\""


def enclose_condition(where: str) -> str:
    """Return a condition in parentheses. Raises InspectError for one that is empty or not SQL."""
    if not where.strip():
        raise InspectError("the condition is empty", EXAMPLE)
    check_select(f"SELECT 1 WHERE {where}")
    enclosed = f"({where}\n)"  # the line break ends a comment at the end
    check_select(f"SELECT 1 WHERE {enclosed}")
    return enclosed


def check_condition(database: ReadonlyDatabase, dataset: str, enclosed: str) -> None:
    """Raise InspectError unless a condition is one over the columns of a dataset."""
    source, columns = quote_name(dataset), f"columns of {dataset}: {', '.join(database.columns(dataset))}"
    try:
        described = database.query(f"DESCRIBE SELECT {enclosed} AS met FROM {source} WHERE {enclosed}")
    except InspectError as error:
        raise InspectError(error.what, columns) from None
    kind = described.rows[0][1]
    if kind != "BOOLEAN":
        raise InspectError(f"{enclosed[1:-1].strip()!r} is a value ({kind}), not a condition", f"{EXAMPLE}; {columns}")
