"""Tables of how well a run agrees with labels, and raters with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.inspecting.text_tables import TextTable

if TYPE_CHECKING:
    from pipeline.auditing.labels import HeldOutScore, LabelScore
    from pipeline.statistics.resampling import Estimate

NUMBERS = frozenset({1, 2, 3})


def list_score_tables(score: LabelScore) -> list[TextTable]:
    """Return the areas under the curve, the half that decided nothing, and the raters' agreement, as tables."""
    areas = [("auc", score.auc, "masks"), ("auc_names", score.auc_names, "names and terms")]
    areas.append(("auc_entities", score.auc_entities, "names"))
    rows = tuple(
        (name, f"{auc:.3f}", f"of the difficulty for 'needs a search', {of}") for name, auc, of in areas if auc
    )
    tables = [TextTable("area under the curve, all labels", ("measure", "AUC", "over"), rows, frozenset({1}))]
    if score.held_out is not None:
        tables.append(_lay_held_out(score.held_out))
    if score.agreement:
        codes = tuple(
            (one.code, f"{one.masks:,}", f"{one.equal / one.masks:.1%}", *_write(one.kappa, ".2f"))
            for one in score.agreement
        )
        columns = ("code", "masks", "equal", "kappa", "90% interval")
        tables.append(TextTable("agreement of the two raters", columns, codes, NUMBERS | {4}))
    return tables


def _lay_held_out(half: HeldOutScore) -> TextTable:
    title = (
        f"min_difficulty {half.bound:.3g}, chosen on {half.chosen_on[1]:,} masks of {half.chosen_on[0]:,} tasks, "
        f"scored on {half.scored_on[1]:,} masks of {half.scored_on[0]:,} others"
    )
    rows = tuple(
        (name, *_write(one, ".3f" if name.startswith("auc") else ".1%")) for name, one in half.estimates.items()
    )
    return TextTable(title, ("measure", "value", "90% interval"), rows, NUMBERS)


def _write(estimate: Estimate, form: str) -> tuple[str, str]:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "–", ""
    return f"{estimate.value:{form}}", f"{estimate.low:{form}} to {estimate.high:{form}}"
