"""Filter and order of attempts: the query string of a link, and its SQL.

Guarantees: every value reaches DuckDB as a parameter; the order is total, so that pages never overlap and neighbours
are unique; a filter written as a link is read back unchanged.
"""

# ruff: noqa: S608  # SQL consists of constants; outside text is passed as parameters
from __future__ import annotations

from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

MOST_WORDS = 8


class Ending(StrEnum):
    """Outcome of an attempt."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNJUDGED = "unjudged"


class WordScope(StrEnum):
    """Text that is searched for words."""

    TASK = "task"
    ATTEMPT = "attempt"


class SortKey(StrEnum):
    """Order of attempts; `id` for an arbitrary but fixed one."""

    ID = "id"
    TITLE = "title"
    MASKS = "masks"
    DIFFICULTY = "difficulty"
    TURNS = "turns"
    F1 = "f1"
    RECALL = "recall"
    COST = "cost"
    ROUND = "round"
    TOKENS = "tokens"
    REASON = "reason"


NOTHING = "''"
TEXTS = frozenset({SortKey.TITLE, SortKey.REASON})
CONDITIONS = {
    "reason": "reason = ?", "stop": "stop_reason = ?", "masks": "masks = ?", "lang": "lang = ?",
    "policy": "policy = ?", "hide": "hide = ?", "shown_by": "shown_by = ?",
    "turns": "turns = ?", "verdict": "verdict = ?",
    "task": "task_id = ?", "round": "round = ?", "kind": "list_contains(string_split(kinds, '+'), ?)",
    "min_f1": "f1 >= ?", "max_f1": "f1 <= ?", "min_recall": "recall >= ?", "max_recall": "recall <= ?",
    "min_difficulty": "difficulty >= ?", "max_difficulty": "difficulty < ?",
    "min_cost": "cost >= ?", "max_cost": "cost < ?",
}  # fmt: skip
"""Condition of each field of the filter; its value is the parameter."""
WORDS = {
    WordScope.TASK: (
        "task_id",
        "tasks",
        "title || ' ' || masked_text || ' ' || array_to_string(list_transform(spans, lambda s: s.text), ' ')",
    ),
    WordScope.ATTEMPT: (
        "trajectory_id",
        "trajectories",
        "CAST(turns AS VARCHAR) || ' ' || CAST(answers AS VARCHAR) || ' ' || final_think",
    ),
}
"""Text that is searched for words: the id of its row, its dataset, the expression."""
ENDINGS = {Ending.ACCEPTED: "accepted", Ending.REJECTED: "NOT accepted", Ending.UNJUDGED: "accepted IS NULL"}


class AttemptFilter(BaseModel):
    """Filter of attempts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ended: Ending | None = None
    reason: str | None = Field(None, max_length=100)
    stop: str | None = Field(None, max_length=100)
    masks: int | None = None
    kind: str | None = Field(None, max_length=20)
    lang: str | None = Field(None, max_length=20)
    policy: str | None = Field(None, max_length=100)
    hide: str | None = Field(None, max_length=20)
    shown_by: str | None = Field(None, max_length=20)
    """Where every gold answer was shown: by the `source` or a copy of it, `elsewhere`, or `nowhere`."""
    verdict: str | None = Field(None, max_length=20)
    turns: int | None = None
    task: str | None = Field(None, max_length=64)
    min_f1: float | None = None
    max_f1: float | None = None
    min_recall: float | None = None
    max_recall: float | None = None
    min_difficulty: float | None = None
    max_difficulty: float | None = None
    min_cost: float | None = None
    max_cost: float | None = None
    round: int | None = None
    words: str | None = Field(None, max_length=500)
    place: WordScope = WordScope.TASK
    sort: SortKey = SortKey.ID
    down: bool = False

    def as_query(self, **changed: Any) -> str:
        """Query string of the filter with some fields changed; defaults are omitted."""
        values = self.model_dump(mode="json", exclude_defaults=True) | changed
        return urlencode({key: _write(value) for key, value in values.items() if value not in (None, "", False)})

    def chosen(self) -> dict[str, str]:
        """Fields that restrict the attempts, by name."""
        left = self.model_dump(mode="json", exclude_defaults=True, exclude={"sort", "down", "place"})
        return {key: str(value) for key, value in left.items()}

    def conditions(self) -> tuple[str, list[Any]]:
        """Condition in SQL over `attempts`, with its parameters."""
        parts, values = ["true"], []
        if self.ended is not None:
            parts.append(ENDINGS[self.ended])
        for name, condition in CONDITIONS.items():
            if (value := getattr(self, name)) is not None:
                parts.append(condition)
                values.append(value)
        return " AND ".join(parts), values

    def word_query(self) -> tuple[str, str, list[str]] | None:
        """Search for the words: the id column, the query that selects its values, and its parameters."""
        words = (self.words or "").split()[:MOST_WORDS]
        if not words:
            return None
        column, source, text = WORDS[self.place]
        condition = " AND ".join(f"contains(lower({text}), lower(?))" for _ in words)
        return column, f"SELECT {column} FROM {source} WHERE {condition}", words

    def sort_column(self) -> str:
        """Expression to sort by, without nulls."""
        if self.sort is SortKey.ID:
            return "a.trajectory_id"
        return f"coalesce(a.{self.sort}, {NOTHING if self.sort in TEXTS else '-1'})"


def _write(value: Any) -> str:
    return "1" if value is True else str(value)
