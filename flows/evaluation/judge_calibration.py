"""Calibration of a judge: its verdicts on labelled answers, and tables of how they agree.

The calls are made as those of a run: budget, journal, flow control, and a managed server where one is configured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.checks.session import open_session, settle_config
from flows.checks.start import require_start
from flows.configuration.run_context import RunContext
from flows.models.chat_models import open_model
from pipeline.judging.calibration import Judged, Score, judge_labelled, measure_agreement, score_verdicts
from pipeline.judging.calibration_advice import Assessment
from pipeline.judging.llm_judge import LlmJudge
from pipeline.llm.async_stage import run_concurrently
from pipeline.llm.roles import find_role
from pipeline.report.text_pieces import show_controls
from schemas.config import RunConfig
from schemas.judgements import Verdict
from schemas.labelled_answers import LabelledAnswer
from schemas.roles import Role

STAGE = "calibration"
ROLES = (Role.JUDGE,)
SHOWN = 12
JUDGES: dict[str, Callable[[Judged], Verdict]] = {
    "the rules alone": lambda one: one.by_rules.verdict,
    "the model alone": lambda one: one.by_model.verdict,
    "rules, then the model": lambda one: one.by_job,
}
"""Verdicts by name of the judge; the last is what a run does."""


def judge_all(context: RunContext, labelled: Sequence[LabelledAnswer]) -> list[Judged]:
    """Every answer with the verdicts on it, in order; calls made before are answered from the journal.

    Raises ConfigError, EndpointError, BudgetSpentError.
    """
    config = settle_config(context.config, ROLES)
    context = replace(context, config=config)
    calls = require_start(context, ROLES)
    numbered = list(enumerate(labelled))
    with ExitStack() as stack:
        stack.enter_context(context.run.locked())
        status = stack.enter_context(Console(stderr=True).status("starting"))
        served = stack.enter_context(open_session(context, ROLES, calls))
        model = open_model(served, STAGE, "pairs")
        judge = LlmJudge(model.model, config.judging)

        async def work(item: tuple[int, LabelledAnswer]) -> tuple[int, Judged]:
            return item[0], await judge_labelled(item[1], judge, config.judging)

        done: dict[int, Judged] = {}
        limits = config.llm.limits
        for number, judged in run_concurrently(numbered, work, config.llm.in_flight, model.services, limits.grace):
            done[number] = judged
            status.update(f"judging: {len(done)} of {len(numbered)}")
    return [done[number] for number, _ in numbered]


def describe(config: RunConfig, judged: Sequence[Judged], assessment: Assessment) -> dict[str, Any]:
    """Everything measured, as JSON values."""
    agree, kappa = measure_agreement(judged)
    return {
        "model": name_model(config),
        "answers": len(judged),
        "trust": assessment.trust.value,
        "because": assessment.because,
        "advice": list(assessment.advice),
        "judges": {name: asdict(score_verdicts(judged, pick)) for name, pick in JUDGES.items()},
        "categories": {category: dict(counts) for category, counts in count_categories(judged).items()},
        "languages": {lang: asdict(score) for lang, score in score_languages(judged).items()},
        "agreement_with_rules": {"answers": agree, "kappa": kappa},
        "misjudged": [
            {
                **one.labelled.model_dump(mode="json"),
                "given": one.by_model.verdict.value,
                "settled_by_rules": one.by_rules.settled,
                "reason": one.by_model.reason,
            }
            for one in judged
            if one.by_model.verdict is not one.label
        ],
    }


def name_model(config: RunConfig) -> str:
    """The model that judges."""
    return find_role(config.llm, Role.JUDGE).model


def count_categories(judged: Sequence[Judged]) -> dict[str, Counter[str]]:
    """The model's verdicts on the answers of each category and label, such as `hedged, incorrect`; sorted."""
    counts: dict[str, Counter[str]] = {}
    for one in sorted(judged, key=lambda one: (one.labelled.category, one.label)):
        counts.setdefault(f"{one.labelled.category}, {one.label.value}", Counter())[one.by_model.verdict.value] += 1
    return counts


def score_languages(judged: Sequence[Judged]) -> dict[str, Score]:
    """The model's score in each language."""
    languages = sorted({one.labelled.lang for one in judged})
    return {
        lang: score_verdicts((one for one in judged if one.labelled.lang == lang), JUDGES["the model alone"])
        for lang in languages
    }


def print_tables(console: Console, config: RunConfig, judged: Sequence[Judged], assessment: Assessment) -> None:
    """The same, as a person reads it."""
    verdicts = Table("answers that are", title="what the model says, on its own")
    for verdict in Verdict:
        verdicts.add_column(verdict.value, justify="right")
    for category, counts in count_categories(judged).items():
        verdicts.add_row(Text(category), *(str(counts[verdict.value] or "-") for verdict in Verdict))
    console.print(verdicts)
    scores = {name: score_verdicts(judged, pick) for name, pick in JUDGES.items()}
    scores |= {f"the model alone, {lang}": score for lang, score in score_languages(judged).items()}
    console.print(_draw_scores(scores))
    agree, kappa = measure_agreement(judged)
    settled = sum(one.by_rules.settled for one in judged)
    console.print(
        f"The rules settle {settled} of {len(judged)} answers by themselves. On all of them the model says what the "
        f"rules say on {agree} ({agree / len(judged):.0%}, kappa {_write_kappa(kappa)}).",
        highlight=False,
    )
    _print_misjudged(console, judged)
    console.print(Text.assemble("\nCan ", (name_model(config), "bold"), " be trusted as a judge? "), end="")
    console.print(Text.assemble((assessment.trust.value.capitalize(), "bold"), f": {assessment.because}."))
    for line in assessment.advice:
        console.print(Text(f"- {line}"))


def _draw_scores(scores: dict[str, Score]) -> Table:
    table = Table("judge", title="verdicts against labels")
    for column in ("right", "wrong ones accepted", "right ones refused", "no verdict", "kappa"):
        table.add_column(column, justify="right")
    for name, score in scores.items():
        table.add_row(
            name,
            _write_share(score.right, score.count),
            _write_share(score.false_accepts, score.deserve_incorrect),
            _write_share(score.false_rejects, score.deserve_correct),
            _write_share(score.undecided, score.count),
            _write_kappa(score.kappa),
        )
    return table


def _print_misjudged(console: Console, judged: Sequence[Judged]) -> None:
    wrong = [one for one in judged if one.by_job is not one.label]
    if not wrong:
        return
    table = Table(title=f"misjudged by the job: {min(SHOWN, len(wrong))} of {len(wrong)} (--json shows all)")
    for column in ("gold", "answer", "deserves", "got", "why"):
        table.add_column(column, overflow="fold")
    for one in sorted(wrong, key=lambda one: one.by_job is not Verdict.CORRECT)[:SHOWN]:
        words = (one.labelled.gold, one.labelled.answer, one.label.value, one.by_job.value, one.by_model.reason)
        table.add_row(*(Text(show_controls(text)) for text in words))
    console.print(table)


def _write_share(part: int, whole: int) -> str:
    return f"{part}/{whole} {part / whole:.0%}" if whole else "-"


def _write_kappa(kappa: float | None) -> str:
    return "-" if kappa is None else f"{kappa:.2f}"
