"""Statistics of an export, collected while its rows are written."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from pipeline.exporting.samples import Sample
from schemas.exports import Split

HISTOGRAMS = ("masks", "mask kinds", "source withheld", "turns", "languages", "perplexity")
"""Histograms of every row; `mask kinds` and `perplexity` count masks."""
DECADES = ("1 to 10", "10 to 100", "100 to 1,000", "1,000 to 10,000", "10,000 to 100,000", "100,000 and more")


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
        self.histograms["source withheld"][str(example.hide)] += 1
        self.most_shown = max(self.most_shown, *map(len, example.shown), 0)
        self.histograms["languages"][example.question.lang] += 1
        self.histograms["perplexity"].update(_name_decade(value) for value in example.perplexities)
        if example.transcript:
            self.histograms["turns"][str(len(example.transcript.steps))] += 1
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
    if name == "perplexity":
        order = (*DECADES, "unknown")
        return [(decade, counts[decade]) for decade in order if counts[decade]]
    if name in ("masks", "turns"):
        return sorted(counts.items(), key=lambda item: int(item[0]))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _name_decade(perplexity: float | None) -> str:
    if perplexity is None:
        return "unknown"
    return DECADES[min(int(math.log10(max(perplexity, 1.0))), len(DECADES) - 1)]
