"""Results as tables of text, for terminals and Markdown, and as JSON.

Guarantees: no character of the data can move a cursor, change a colour, reorder text or end a cell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.inspecting.attempts_table import ATTEMPTS
from pipeline.inspecting.row_query import RowPage
from pipeline.inspecting.run_diff import Difference, RunDiff
from pipeline.inspecting.summary import Summary
from pipeline.report.text_pieces import INVISIBLE, show_controls

CELL_CHARS = 60
NOTHING = "–"
LEFT_OUT = frozenset(
    {
        "task_id",
        "lang",
        "searches",
        "pages",
        "rivals",
        "policy",
        "round",
        "attempt",
        "cost",
        "tokens",
        "judge",
        "recall",
        "answer_seen",
        "co_covered",
        "support",
        "queries",
        "verbatim_queries",
        "chained_turns",
    }
)
"""Columns of `attempts` that are omitted on a terminal; JSON has them."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|!~&])")


@dataclass(frozen=True, slots=True)
class TextTable:
    """Table of plain text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    """Columns aligned to the right."""
    whole: frozenset[int] = frozenset()
    """Columns whose cells stay on one line, besides these."""


def summary_tables(summary: Summary) -> list[TextTable]:
    """A summary as tables; empty ones are left out."""
    datasets = [
        (one.name, f"{one.rows:,}", f"{one.shards:,}", f"{one.bytes / 1e6:,.1f}", ", ".join(one.columns))
        for one in summary.datasets
    ]
    tables = [
        TextTable("datasets", ("dataset", "rows", "shards", "MB", "columns"), tuple(datasets), frozenset({1, 2, 3}))
    ]
    if len(summary.datasets) == 1:
        (only,) = summary.datasets
        tables.append(TextTable("schema", ("column", "type"), tuple(only.columns.items())))
    funnel = [
        (step.stage, step.unit, f"{step.entered:,}", f"{step.passed:,}", f"{step.entered - step.passed:,}",
         ", ".join(f"{reason} {count:,}" for reason, count in sorted(step.rejected.items(), key=lambda r: -r[1])))
        for step in summary.funnel
    ]  # fmt: skip
    head = ("stage", "unit", "in", "on", "dropped", "why")
    tables.append(TextTable("funnel", head, tuple(funnel), frozenset({2, 3, 4})))
    acceptance = [
        (row.hide, str(row.masks or "all"), f"{row.attempts:,}", f"{row.accepted:,}",
         write_share(row.accepted, row.attempts), f"{row.seen:,}", write_share(row.accepted_seen, row.seen))
        for row in summary.acceptance
    ]  # fmt: skip
    shown = ("hidden", "masks", "attempts", "accepted", "share", "answer shown", "accepted of these")
    tables.append(TextTable("acceptance", shown, tuple(acceptance), frozenset({2, 3, 4, 5, 6})))
    rejects = [(one.stage, one.unit, one.reason, f"{one.count:,}") for one in summary.rejects]
    tables.append(
        TextTable("commonest reasons", ("stage", "unit", "reason", "dropped"), tuple(rejects), frozenset({3}))
    )
    tables.append(TextTable("skipped files", ("file", "why"), tuple((one.name, one.why) for one in summary.broken)))
    return [table for table in tables if table.rows]


def page_table(page: RowPage) -> TextTable:
    """Rows as a table; long texts are cut, lists shown by length."""
    places = [n for n, name in enumerate(page.result.columns) if page.dataset != ATTEMPTS or name not in LEFT_OUT]
    rows = tuple(tuple(write_cell(row[n]) for n in places) for row in page.result.rows)
    title = f"{page.dataset}: {len(rows):,} of {page.total:,} rows"
    if page.total != page.searched:
        title = f"{title} that match, of {page.searched:,} looked at"
    first = [page.result.rows[0][n] for n in places] if page.result.rows else []
    numbers = (n for n, value in enumerate(first) if isinstance(value, int | float) and not isinstance(value, bool))
    return TextTable(title, tuple(page.result.columns[n] for n in places), rows, frozenset(numbers))


def row_table(dataset: str, row: Mapping[str, Any]) -> TextTable:
    """One row in full: a line for each field, nested values as indented JSON."""
    lines = tuple(
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str))
        for key, value in row.items()
    )
    return TextTable(dataset, ("field", "value"), lines)


def diff_tables(diff: RunDiff) -> list[TextTable]:
    """The differences of two runs as tables; empty ones are left out."""
    sides = ("A", "B")
    tables = [
        _difference_table("settings", diff.settings),
        _difference_table("rows", diff.rows),
        _difference_table("funnel", diff.funnel),
    ]
    changes = [
        (one.hide, str(one.masks or "all"), *(f"{a:,}/{n:,} {write_share(a, n)}" for a, n in (one.left, one.right)))
        for one in diff.acceptance
    ]
    tables.append(TextTable("accepted", ("hidden", "masks", *sides), tuple(changes), frozenset({2, 3})))
    return [table for table in tables if table.rows]


def _difference_table(title: str, differences: Iterable[Difference]) -> TextTable:
    lines = tuple((one.what, one.left or NOTHING, one.right or NOTHING) for one in differences)
    return TextTable(title, (title, "A", "B"), lines)


def write_cell(value: Any) -> str:
    """A value on one line."""
    if value is None:
        return NOTHING
    if isinstance(value, list | tuple):
        return f"[{len(value)}]"
    if isinstance(value, dict):
        return f"{{{len(value)}}}"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = make_harmless(" ".join(str(value).split()))
    return text if len(text) <= CELL_CHARS else f"{text[: CELL_CHARS - 1]}…"


def write_share(part: int, whole: int) -> str:
    """A share in percent."""
    return f"{part / whole:.1%}" if whole else NOTHING


def make_harmless(text: str) -> str:
    """Text without control characters: line breaks stay, tabs become spaces, invisible characters are written out."""
    return show_controls(text.replace("\t", "    ").replace("\r\n", "\n"))


def write_json(value: Any, indent: int | None = None) -> str:
    """JSON in which every control character is an escape."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def write_markdown(tables: Sequence[TextTable]) -> str:
    """Tables in Markdown; markup in them is escaped."""
    parts = []
    for table in tables:
        marks = ("---:" if number in table.numbers else "---" for number in range(len(table.columns)))
        lines = [f"### {_escape(table.title)}", "", _write_line(map(_escape, table.columns)), _write_line(marks)]
        parts.append("\n".join(lines + [_write_line(map(_escape, row)) for row in table.rows]))
    return "\n\n".join(parts) + "\n"


def _write_line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", make_harmless(text)).replace("\n", "<br>")
