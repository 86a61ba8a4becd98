"""How well the filters and the difficulty of spans agree with masks that people labelled.

A mask needs a search, is a bad unit, or has a wrong alias where every rater who was asked says so. The filters of the
run are scored on all labels. Besides, the bound of the difficulty is chosen on one half of the tasks and scored on the
other, so that no figure there comes from labels that decided it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.labelling.agreement import CodeAgreement, measure_agreement
from pipeline.labelling.labelled_passages import LabelledMask, LabelledPassage
from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.drafts import SpanAssessment
from pipeline.masking.filters import EASY
from pipeline.statistics.resampling import Estimate, Statistic, estimate, find_value
from pipeline.statistics.shares import count_auc, count_share
from schemas.audit import Measure
from schemas.mask_labels import AliasesCode, NeedsCode, UnitCode
from schemas.passages import Passage
from schemas.record import content_id
from schemas.tasks import SpanKind

TARGET = 0.85
"""Share of kept masks that should need a search: the bound chosen is the lowest that reaches it."""
SPLIT = "halves"
"""Seed of the split into halves."""

Assess = Callable[[Sequence[tuple[Passage, Sequence[SpanCandidate]]]], Sequence[Sequence[SpanAssessment]]]
Tally = tuple[int, int]
"""Things with a property, and things looked at."""

ABOUT = {
    "kept_share": "labelled masks that the filters keep",
    "needs_search_share": "kept masks that need a search",
    "bad_units_kept": "kept masks with wrong bounds",
    "wrong_aliases": "aliases of kept masks that name another thing (masks, where aliases were coded together)",
}
"""What each share counts."""
KINDS = {
    "auc": tuple(SpanKind),
    "auc_names": (SpanKind.ENTITY, SpanKind.TERM),
    "auc_entities": (SpanKind.ENTITY,),
}
"""Kinds of masks that each area under the curve is over."""


@dataclass(frozen=True, slots=True)
class RatedMask:
    """Labelled mask, with what the filters and the difficulty say of it."""

    mask: LabelledMask
    found: SpanAssessment

    @property
    def needs_search(self) -> bool:
        """Whether every rater says that it needs a search."""
        return all(codes.needs is NeedsCode.SEARCH for codes in self.mask.raters)

    @property
    def is_bad_unit(self) -> bool:
        """Whether every rater says that it is a bad unit."""
        return all(codes.unit is UnitCode.BAD for codes in self.mask.raters)

    def passes(self, bound: float) -> bool:
        """Return whether it is kept with this lower bound of the difficulty."""
        return self.found.reason in (None, EASY) and self.found.difficulty >= bound


Task = Sequence[RatedMask]
"""Masks that are hidden together."""


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """Agreement with one half of the tasks, at a bound of the difficulty that was chosen on the other half."""

    bound: float
    """Lower bound of the difficulty (`masking.min_difficulty`)."""
    chosen_on: Tally
    """Tasks and masks of the half that it was chosen on."""
    scored_on: Tally
    """Tasks and masks of the other half."""
    estimates: Mapping[str, Estimate]
    """Measures of the other half, with 90% intervals over its tasks."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Agreement with the labels."""

    measures: tuple[Measure, ...]
    auc: float | None
    """Probability that a mask that needs a search has the higher difficulty; None where all or none need one."""
    auc_names: float | None
    """The same among names and terms."""
    auc_entities: float | None
    """The same among names."""
    held_out: HeldOutScore | None
    """None for fewer than two tasks, or where the filters keep nothing of the first half."""
    agreement: tuple[CodeAgreement, ...]
    """Agreement of the two raters, code by code; empty with one."""


def score_labels(passages: Sequence[LabelledPassage], assess: Assess) -> LabelScore:
    """Compare what is kept with the labels."""
    drawn = sorted(passages, key=lambda one: content_id(SPLIT, one.key))
    found = assess([(labelled.build(), [mask.build() for mask in labelled.masks]) for labelled in drawn])
    tasks = [
        [RatedMask(*pair) for pair in zip(labelled.masks, assessments, strict=True)]
        for labelled, assessments in zip(drawn, found, strict=True)
    ]
    by_alias = any(codes.alias_codes for masks in tasks for one in masks for codes in one.mask.raters)
    tallies = _tally(tasks, lambda one: one.found.reason is None, by_alias)
    areas = {name: find_value(area, len(tasks)) for name, area in _list_areas(tasks).items()}
    return LabelScore(
        measures=tuple(_count(name, of_tasks) for name, of_tasks in tallies.items()),
        auc=areas["auc"],
        auc_names=areas["auc_names"],
        auc_entities=areas["auc_entities"],
        held_out=_score_held_out(tasks, by_alias),
        agreement=measure_agreement([[one.mask.raters for one in masks] for masks in tasks]),
    )


def choose_bound(masks: Sequence[RatedMask], target: float = TARGET) -> float | None:
    """Return the lowest bound of the difficulty from which on the target share of the kept masks needs a search.

    Where none reaches it, that of the highest share. None where the other filters keep nothing.
    """
    kept = sorted((one for one in masks if one.passes(0.0)), key=lambda one: -one.found.difficulty)
    shares: dict[float, float] = {}  # from the highest bound to the lowest; of equal ones the last counts
    needing = 0
    for count, one in enumerate(kept, start=1):
        needing += one.needs_search
        shares[one.found.difficulty] = needing / count
    reaching = [bound for bound, share in shares.items() if share >= target]
    return min(reaching) if reaching else max(shares, key=lambda bound: (shares[bound], -bound), default=None)


def _score_held_out(tasks: Sequence[Task], by_alias: bool) -> HeldOutScore | None:
    half = len(tasks) // 2
    first, second = tasks[:half], tasks[half:]
    bound = choose_bound([one for masks in first for one in masks])
    if bound is None:
        return None
    tallies = _tally(second, lambda one: one.passes(bound), by_alias)
    shares = {name: count_share(*zip(*of_tasks, strict=True)) for name, of_tasks in tallies.items()}
    statistics: dict[str, Statistic] = shares | _list_areas(second)
    return HeldOutScore(
        bound,
        (len(first), sum(map(len, first))),
        (len(second), sum(map(len, second))),
        {name: estimate(statistic, len(second)) for name, statistic in statistics.items()},
    )


def _tally(tasks: Sequence[Task], keeps: Callable[[RatedMask], bool], by_alias: bool) -> dict[str, list[Tally]]:
    """Return what each share counts in each task."""
    tallies: dict[str, list[Tally]] = {name: [] for name in ABOUT}
    for masks in tasks:
        kept = [one for one in masks if keeps(one)]
        aliases = [verdict for one in kept for verdict in _list_aliases(one.mask, by_alias)]
        tallies["kept_share"].append((len(kept), len(masks)))
        tallies["needs_search_share"].append((sum(one.needs_search for one in kept), len(kept)))
        tallies["bad_units_kept"].append((sum(one.is_bad_unit for one in kept), len(kept)))
        tallies["wrong_aliases"].append((sum(aliases), len(aliases)))
    return tallies


def _list_aliases(mask: LabelledMask, by_alias: bool) -> list[bool]:
    """Return for each alias, or for all together, whether every rater who was asked calls it wrong."""
    if not by_alias:
        asked = [codes.aliases for codes in mask.raters if codes.aliases is not None]
        return [all(one is AliasesCode.WRONG for one in asked)] if asked else []
    names = sorted({alias for codes in mask.raters for alias in codes.alias_codes})
    return [all(codes.alias_codes.get(alias, "wrong") == "wrong" for codes in mask.raters) for alias in names]


def _list_areas(tasks: Sequence[Task]) -> dict[str, Statistic]:
    """Return the areas under the curve of the difficulty for "needs a search": of all masks, names and terms, names."""
    placed = [(number, one) for number, masks in enumerate(tasks) for one in masks]
    areas = {}
    for name, kinds in KINDS.items():
        chosen = [(number, one) for number, one in placed if one.mask.kind in kinds]
        areas[name] = count_auc(
            [one.found.difficulty for _, one in chosen],
            [one.needs_search for _, one in chosen],
            [number for number, _ in chosen],
        )
    return areas


def _count(name: str, tallies: Sequence[Tally]) -> Measure:
    count, of = (sum(part) for part in zip(*tallies, strict=True)) if tallies else (0, 0)
    return Measure(name=name, part="labels", count=count, of=of, about=ABOUT[name])
