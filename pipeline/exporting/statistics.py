"""Statistics of an export, collected while its rows are written."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.exporting.samples import Sample
from schemas.exports import Split
from schemas.renderings import QuestionKind

HISTOGRAMS = ("masks", "mask kinds", "source withheld", "turns", "languages", "difficulty")
"""Histograms of every row; `mask kinds` and `difficulty` count masks."""
FIFTHS = ("0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1")


class ExportStatistics:
    """Counts over the rows of one table."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.histograms: dict[str, Counter[str]] = {name: Counter() for name in HISTOGRAMS}
        self.tokens: Counter[str] = Counter()
        self.longest = 0
        self.most_shown, self.most_searches = 0, 0
        self._pages: dict[str, set[str]] = {split: set() for split in Split}

    def count(self, sample: Sample, split: Split) -> None:
        """Add a row."""
        example = sample.example
        self.rows[split] += 1
        self._pages[split].add(example.document_id)
        self.histograms["masks"][str(len(example.golds))] += 1
        self.histograms["mask kinds"].update(map(str, example.mask_kinds))
        if example.question.kind is QuestionKind.RAMP:  # a question has no source to withhold
            self.histograms["source withheld"][str(example.hide)] += 1
        self.most_shown = max(self.most_shown, *map(len, example.shown), 0)
        self.histograms["languages"][example.question.lang] += 1
        self.histograms["difficulty"].update(_name_fifth(value) for value in example.difficulties)
        if example.transcript:
            self.histograms["turns"][str(len(example.shown))] += 1
            self.most_searches = max(self.most_searches, len(example.transcript.steps))
        if sample.tokens:
            self.longest = max(self.longest, len(sample.tokens.input_ids))
            self.tokens["all"] += len(sample.tokens.input_ids)
            for run in sample.tokens.runs:
                self.tokens[f"trained {run.kind}" if run.trained else f"untrained {run.kind}"] += run.length

    def describe(self) -> dict[str, Any]:
        """Return the counts as plain values, in a fixed order."""
        return {
            "rows": {split: self.rows[split] for split in Split},
            "pages": {split: len(self._pages[split]) for split in Split},
            "histograms": {name: dict(_order(name, counts)) for name, counts in self.histograms.items() if counts},
            "tokens": dict(sorted(self.tokens.items())) | ({"longest row": self.longest} if self.longest else {}),
        }


def _order(name: str, counts: Counter[str]) -> list[tuple[str, int]]:
    if name == "difficulty":
        order = (*FIFTHS, "unknown")
        return [(fifth, counts[fifth]) for fifth in order if counts[fifth]]
    if name in ("masks", "turns"):
        return sorted(counts.items(), key=lambda item: int(item[0]))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _name_fifth(difficulty: float | None) -> str:
    return "unknown" if difficulty is None else FIFTHS[min(int(difficulty * 5), len(FIFTHS) - 1)]
