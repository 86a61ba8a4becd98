"""Which attempts are looked at, and in which order: what a link holds, and the SQL it stands for.

Promises: every value reaches DuckDB as a parameter; the order is total, so that pages never overlap and every attempt
has one before and one after it; a filter written as a link reads back the same.
"""

# ruff: noqa: S608  # SQL here is put together from our own words; what others wrote travels as parameters
from __future__ import annotations

from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

MOST_WORDS = 8


class Ending(StrEnum):
    """How an attempt ended."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNJUDGED = "unjudged"


class PagePlace(StrEnum):
    """Where words are looked for."""

    TASK = "task"
    ATTEMPT = "attempt"


class SortKey(StrEnum):
    """What attempts are ordered by; `id` is any order, the same each time."""

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
EQUALS = ("reason", "masks", "lang", "policy", "hide", "turns", "verdict", "round")
RANGES = {
    "min_f1": "f1 >= ?", "max_f1": "f1 <= ?", "min_recall": "recall >= ?", "max_recall": "recall <= ?",
    "min_difficulty": "difficulty >= ?", "max_difficulty": "difficulty < ?",
    "min_cost": "cost >= ?", "max_cost": "cost < ?",
}  # fmt: skip
WORDS = {
    PagePlace.TASK: (
        "task_id",
        "tasks",
        "title || ' ' || masked_text || ' ' || array_to_string(list_transform(spans, lambda s: s.text), ' ')",
    ),
    PagePlace.ATTEMPT: (
        "trajectory_id",
        "trajectories",
        "CAST(turns AS VARCHAR) || ' ' || CAST(answers AS VARCHAR) || ' ' || final_think",
    ),
}
"""Where words are looked for: what is found, where, in which text."""
ENDINGS = {Ending.ACCEPTED: "accepted", Ending.REJECTED: "NOT accepted", Ending.UNJUDGED: "accepted IS NULL"}


class AttemptFilter(BaseModel):
    """What a link to the table holds. Empty text stands for nothing, as forms send it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ended: Ending | None = None
    reason: str | None = Field(None, max_length=100)
    stop: str | None = Field(None, max_length=100)
    masks: int | None = None
    kind: str | None = Field(None, max_length=20)
    lang: str | None = Field(None, max_length=20)
    policy: str | None = Field(None, max_length=100)
    hide: str | None = Field(None, max_length=20)
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
    place: PagePlace = PagePlace.TASK
    sort: SortKey = SortKey.ID
    down: bool = False

    def as_query(self, **changed: Any) -> str:
        """The same as a link holds it, some of it changed; what is as it is anyway is left out."""
        values = self.model_dump(mode="json", exclude_defaults=True) | changed
        return urlencode({key: _write(value) for key, value in values.items() if value not in (None, "", False)})

    def chosen(self) -> dict[str, str]:
        """What narrows the table, by name."""
        left = self.model_dump(mode="json", exclude_defaults=True, exclude={"sort", "down", "place"})
        return {key: str(value) for key, value in left.items()}

    def conditions(self) -> tuple[str, list[Any]]:
        """The condition in SQL over `attempts a`, with its parameters."""
        parts, values = ["true"], []
        for name in EQUALS:
            if (value := getattr(self, name)) is not None:
                parts.append(f"a.{name} = ?")
                values.append(value)
        for column, value in (("stop_reason", self.stop), ("task_id", self.task)):
            if value is not None:
                parts.append(f"a.{column} = ?")
                values.append(value)
        if self.kind is not None:
            parts.append("list_contains(string_split(a.kinds, '+'), ?)")
            values.append(self.kind)
        if self.ended is not None:
            parts.append(ENDINGS[self.ended])
        for name, condition in RANGES.items():
            if (value := getattr(self, name)) is not None:
                parts.append(f"a.{condition}")
                values.append(value)
        return " AND ".join(parts), values

    def word_query(self) -> tuple[str, str, list[str]] | None:
        """What finds the words: the column that must be among those found, the query and its parameters."""
        words = (self.words or "").split()[:MOST_WORDS]
        if not words:
            return None
        column, source, text = WORDS[self.place]
        wanted = " AND ".join(f"contains(lower({text}), lower(?))" for _ in words)
        return column, f"SELECT {column} FROM {source} WHERE {wanted}", words

    def sort_column(self) -> str:
        """What is sorted by, without holes."""
        if self.sort is SortKey.ID:
            return "a.trajectory_id"
        return f"coalesce(a.{self.sort}, {NOTHING if self.sort in TEXTS else '-1'})"


def _write(value: Any) -> str:
    return "1" if value is True else str(value)
