"""Agreement of two raters on the masks that both labelled, code by code, with intervals over tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipeline.statistics.agreement import count_kappa
from pipeline.statistics.resampling import Estimate, estimate
from schemas.mask_labels import MaskCodes, MaskLabel, NeedsCode

READERS: Mapping[str, Callable[[MaskCodes], object]] = {
    "needs": lambda codes: codes.needs,
    "needs_search": lambda codes: codes.needs is NeedsCode.SEARCH,
    "fillings": lambda codes: codes.fillings,
    "unit": lambda codes: codes.unit,
    "aliases": lambda codes: codes.aliases,
}
"""What each measure compares; None where a rater was not asked."""


@dataclass(frozen=True, slots=True)
class CodeAgreement:
    """Agreement on one code."""

    code: str
    masks: int
    """Masks that both coded."""
    equal: int
    """Of these, masks with the same code."""
    kappa: Estimate
    """Cohen's kappa with its 90% interval; None where chance alone would give full agreement."""


def measure_agreement(tasks: Iterable[Iterable[Sequence[MaskCodes]]]) -> tuple[CodeAgreement, ...]:
    """Compare the codes of two raters; `tasks`: the codes of each mask of each task, those of one rater left out.

    A code that one of them did not give is left out.
    """
    rated = [[(codes[0], codes[1]) for codes in masks if len(codes) == 2] for masks in tasks]
    found = []
    for code, read in READERS.items():
        compared = [[(read(one), read(other)) for one, other in pairs] for pairs in rated]
        counts = [Counter(pair for pair in pairs if None not in pair) for pairs in compared]
        counts = [one for one in counts if one]
        masks = sum(one.total() for one in counts)
        equal = sum(count for one in counts for (first, second), count in one.items() if first == second)
        if masks:
            found.append(CodeAgreement(code, masks, equal, estimate(count_kappa(counts), len(counts))))
    return tuple(found)


def compare_raters(labels: Iterable[MaskLabel]) -> Iterator[tuple[str, str, tuple[CodeAgreement, ...]]]:
    """Yield each two raters who labelled a mask in common, with their agreement."""
    raters: dict[str, dict[str, MaskLabel]] = {}
    for label in labels:
        raters.setdefault(label.rater, {})[label.mask] = label
    for one, other in combinations(sorted(raters), 2):
        tasks: dict[str, list[tuple[MaskLabel, MaskLabel]]] = {}
        for mask in raters[one].keys() & raters[other].keys():
            pair = raters[one][mask], raters[other][mask]
            tasks.setdefault(pair[0].task_id, []).append(pair)
        if tasks:
            yield one, other, measure_agreement([tasks[task] for task in sorted(tasks)])
