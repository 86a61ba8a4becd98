"""Evaluations: benchmark questions, the answers of a method, and the metrics computed from them."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field, model_validator

from schemas.judgements import Verdict
from schemas.record import Frozen, Record
from schemas.trajectories import PromptUse, RoleUsage


class EvalMethod(StrEnum):
    """Method of answering questions (the first two as in MaskSearch, arXiv 2505.20285, section 3.1)."""

    RAG_PE = "rag-pe"
    AGENT_PE = "agent-pe"
    POLICY = "policy"
    EXTRACTIVE = "extractive"


class MetricName(StrEnum):
    """Metrics of an answer, each from 0 to 1. The official ones follow the published rules, the others those of
    rampforge.
    """

    RECALL = "recall"
    EXACT = "exact"
    SUBSTRING = "substring"
    F1 = "f1"
    OFFICIAL_EXACT = "official_exact"
    OFFICIAL_SUBSTRING = "official_substring"
    OFFICIAL_F1 = "official_f1"
    JUDGED = "judged"


class EvalQuestion(Frozen):
    """Question of a benchmark."""

    question_id: str
    """Id in the benchmark."""
    dataset: str
    """Benchmark that the question is from."""
    lang: str
    """Language code."""
    question: str
    """The question."""
    golds: tuple[tuple[str, ...], ...] = Field(min_length=1)
    """One entry for each part of the answer (nearly always a single one): the gold, then its alternative forms."""
    titles: tuple[str, ...] = ()
    """Titles of the pages that contain the answer, where the benchmark gives them."""
    supporting_ids: tuple[str, ...] = ()
    """Passages of the accompanying corpus that contain the answer, where they are known."""

    @property
    def key(self) -> str:
        """The question's id."""
        return self.question_id

    @model_validator(mode="after")
    def _has_golds(self) -> EvalQuestion:
        if not all(forms and all(form.strip() for form in forms) for forms in self.golds):
            raise ValueError("every part of an answer needs a gold that is not blank")
        return self


class EvalSettings(Frozen):
    """Settings that determine the rows of an evaluation, besides the configuration and the questions."""

    method: EvalMethod
    """Method of answering."""
    runs: int = Field(default=1, ge=1, le=64)
    """Answers to each question."""
    sample: int | None = Field(default=None, ge=1)
    """Number of questions to draw, evenly; null: all."""
    seed: int = 0
    """Seed of the draw."""
    judge: bool = False
    """Also judge each answer with the model of the role `judge`."""


class Evaluation(Record):
    """Answer to one question."""

    dataset: ClassVar[str] = "evaluations"
    id_field: ClassVar[str] = "evaluation_id"

    evaluation_id: str
    """Hash of the question, the run's number, the method, models, prompts, sampling and the engine's fingerprint."""
    question_id: str
    """The question."""
    benchmark: str
    """Benchmark that the question is from."""
    lang: str
    """Language code."""
    question: str
    """The question."""
    golds: tuple[tuple[str, ...], ...]
    """Parts of the gold answer, each with its alternative forms."""
    method: EvalMethod
    """Method of answering."""
    model: str
    """Model that played the method's roles."""
    run: int
    """Number of the answer to this question, counted from 0."""
    answer: str | None
    """Answer; None without one."""
    finished: bool
    """Whether an answer was reached; an unfinished one scores 0 and counts in every mean."""
    stop: str
    """`answered`, or the reason for having no answer."""
    recall: float
    """Share of the gold tokens that appear in the answer (the paper's metric)."""
    exact: float
    """1 when equal to a gold after normalisation."""
    substring: float
    """1 when the answer contains a gold; for several parts, their share."""
    f1: float
    """Token F1."""
    verdict: Verdict | None
    """Verdict of the judge model; None without one."""
    verdict_reason: str | None
    """Reason given by the judge model."""
    turns: int
    """Number of steps."""
    searches: int
    """Number of queries sent."""
    shown: tuple[str, ...]
    """Passages shown, each once, in order."""
    support: float | None
    """Share of the supporting passages that were shown; None where none is known, or no step was made."""
    usage: tuple[RoleUsage, ...]
    """Consumption of each role."""
    prompts: tuple[PromptUse, ...]
    """The prompt templates used."""
    sampling: str
    """Sampling settings, a JSON object as text."""
    engine: str
    """Fingerprint of the search engine: kind, settings and corpus."""


class Metric(Frozen):
    """Mean over questions and runs, with its uncertainty."""

    mean: float
    """Over all answers, unfinished ones as 0."""
    low: float
    """Lower bound of the 95% bootstrap interval over questions."""
    high: float
    """Upper bound of that interval."""
    spread: float | None
    """Standard deviation of the runs' means; None for a single run."""


class EvalGroup(Frozen):
    """Metrics of a group of questions."""

    name: str
    """`all`, or the name of a benchmark."""
    questions: int
    """Number of questions."""
    metrics: dict[MetricName, Metric]
    """Metrics by name."""


class EvaluationResult(Frozen):
    """Results of one evaluation (`results.json`), with the settings that decide what they can be compared with."""

    name: str
    """Name of the evaluation, which is that of its folder."""
    method: EvalMethod
    """Method of answering."""
    model: str
    """Model that played the method's roles."""
    runs: int
    """Answers to each question."""
    offered: int
    """Rows of the benchmark's file."""
    rejected: dict[str, int]
    """Rows that are not a valid question, by reason code."""
    sampled_out: int
    """Questions that were not drawn."""
    questions: int
    """Questions asked; with the rejected and the undrawn ones they add up to all rows offered."""
    answers: int
    """The denominator of every mean: questions times runs."""
    finished: int
    """Answers that were reached."""
    unfinished: dict[str, int]
    """Unfinished answers, by reason."""
    unjudged: int
    """Answers without a readable verdict of the judge model; they count as incorrect."""
    groups: tuple[EvalGroup, ...]
    """All questions first, then each benchmark when there are several."""
    support: float | None
    """Mean share of the supporting passages that were shown; None where none is known."""
    searches: float
    """Mean number of queries per answer."""
    calls: int
    """Calls of language models."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens received."""
    cost: float
    """Cost by the price table."""
    questions_digest: str
    """Hash of the questions and their golds."""
    engine: str
    """Fingerprint of the search engine."""
    k: int
    """Passages shown in one step."""
    version: str
    """Version of rampforge."""

    @property
    def metrics(self) -> dict[MetricName, Metric]:
        """Return the metrics over all questions."""
        return self.groups[0].metrics


class DecontaminationConfig(Frozen):
    """The `decontamination` section of the configuration: benchmarks to exclude from training data."""

    benchmarks: tuple[str, ...] = ()
    """Benchmarks, by name or as files of questions; examples that overlap them are never exported."""
    ngram: int = Field(default=8, ge=4, le=64)
    """Length of an overlap: this many consecutive tokens of a question in a passage or in a trajectory's text."""


class PairedDifference(Frozen):
    """Difference of one metric between two evaluations on the same questions."""

    metric: MetricName
    """Metric compared."""
    base: float
    """Mean of the first evaluation."""
    other: float
    """Mean of the second evaluation."""
    difference: float
    """Second mean minus first mean."""
    low: float
    """Lower bound of the 95% bootstrap interval of the difference, over questions."""
    high: float
    """Upper bound of that interval."""
    p_value: float
    """p-value of the two-sided paired sign-flip test."""
    better: int
    """Questions on which the second is better."""
    worse: int
    """Questions on which it is worse."""
