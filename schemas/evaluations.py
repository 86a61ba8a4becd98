"""Evaluations: questions with known answers, what a method answered, and the figures that sum it up."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field, model_validator

from schemas.judgements import Verdict
from schemas.record import Frozen, Record
from schemas.trajectories import PromptUse, RoleUsage


class EvalMethod(StrEnum):
    """How questions are answered (the first two as in MaskSearch, arXiv 2505.20285, section 3.1)."""

    RAG_PE = "rag-pe"
    AGENT_PE = "agent-pe"
    POLICY = "policy"
    EXTRACTIVE = "extractive"


class MetricName(StrEnum):
    """What an answer is worth, each from 0 to 1. The official ones go by the published rules, the others by ours."""

    RECALL = "recall"
    EXACT = "exact"
    SUBSTRING = "substring"
    F1 = "f1"
    OFFICIAL_EXACT = "official_exact"
    OFFICIAL_SUBSTRING = "official_substring"
    OFFICIAL_F1 = "official_f1"
    JUDGED = "judged"


class EvalQuestion(Frozen):
    """A question of a benchmark."""

    question_id: str
    """Its id in the benchmark."""
    dataset: str
    """The benchmark that it is from."""
    lang: str
    """Language code."""
    question: str
    """The question."""
    golds: tuple[tuple[str, ...], ...] = Field(min_length=1)
    """One entry for each part of the answer, nearly always one in all: the gold, then other ways to write it."""
    titles: tuple[str, ...] = ()
    """Titles of the pages that its answer is found on, where the benchmark tells them."""
    supporting_ids: tuple[str, ...] = ()
    """Passages of the corpus beside it that its answer is found in, where they are known."""

    @property
    def key(self) -> str:
        """The question's id."""
        return self.question_id

    @model_validator(mode="after")
    def _has_golds(self) -> EvalQuestion:
        if not all(forms and all(form.strip() for form in forms) for forms in self.golds):
            raise ValueError("every part of an answer has a gold, and none is blank")
        return self


class EvalSettings(Frozen):
    """What decides the rows of an evaluation, besides the configuration and the questions."""

    method: EvalMethod
    """How questions are answered."""
    runs: int = Field(default=1, ge=1, le=64)
    """Times each question is answered."""
    sample: int | None = Field(default=None, ge=1)
    """Take so many questions, drawn evenly; None: all."""
    seed: int = 0
    """Decides the draw."""
    judge: bool = False
    """Ask the model of the role `judge` about each answer too."""


class Evaluation(Record):
    """One answer to one question."""

    dataset: ClassVar[str] = "evaluations"
    id_field: ClassVar[str] = "evaluation_id"

    evaluation_id: str
    """Hash of the question, the run's number, the method, models, prompts, sampling and the engine's fingerprint."""
    question_id: str
    """The question."""
    benchmark: str
    """The benchmark that the question is from."""
    lang: str
    """Language code."""
    question: str
    """The question."""
    golds: tuple[tuple[str, ...], ...]
    """The parts of the right answer, each with the ways to write it."""
    method: EvalMethod
    """How it was answered."""
    model: str
    """What played the method's roles."""
    run: int
    """Which answer to the question this is, counted from 0."""
    answer: str | None
    """The answer; None for none."""
    finished: bool
    """It came to an answer; one that did not is worth 0 and counts all the same."""
    stop: str
    """`answered`, or what kept it from an answer."""
    recall: float
    """Share of the gold tokens that stand in the answer (the paper's metric)."""
    exact: float
    """1 when it is equal to a gold after normalisation."""
    substring: float
    """1 when a gold stands in the answer; for several parts, the share of them."""
    f1: float
    """Token F1."""
    verdict: Verdict | None
    """The judging model's; None when none was asked."""
    verdict_reason: str | None
    """Why, in its words."""
    turns: int
    """Steps taken."""
    searches: int
    """Queries sent."""
    shown: tuple[str, ...]
    """Passages shown, each once, in order."""
    support: float | None
    """Share of the passages known to hold the answer that were shown; None where none is known, or no step was done."""
    usage: tuple[RoleUsage, ...]
    """What each role consumed."""
    prompts: tuple[PromptUse, ...]
    """The prompt templates used."""
    sampling: str
    """Settings, a JSON object as text."""
    engine: str
    """Fingerprint of the search engine: kind, settings and corpus."""


class Metric(Frozen):
    """A mean over questions and runs, and how sure it is."""

    mean: float
    """Over all answers, unfinished ones as 0."""
    low: float
    """Lower end of the 95% bootstrap interval over questions."""
    high: float
    """Its upper end."""
    spread: float | None
    """Standard deviation of the runs' means; None for a single run."""


class EvalGroup(Frozen):
    """The figures of some of the questions."""

    name: str
    """`all`, or the benchmark that they are from."""
    questions: int
    """How many."""
    metrics: dict[MetricName, Metric]
    """Metric by metric."""


class EvaluationResult(Frozen):
    """results.json: the figures of one evaluation, and what they may be compared with."""

    name: str
    """Name of the evaluation: that of its folder."""
    method: EvalMethod
    """How questions were answered."""
    model: str
    """What played the method's roles."""
    runs: int
    """Times each question was answered."""
    offered: int
    """Rows of the benchmark's file."""
    rejected: dict[str, int]
    """Rows that are no question, by reason code."""
    sampled_out: int
    """Questions that were not drawn."""
    questions: int
    """Questions asked: with the rejected and the undrawn they are all rows offered."""
    answers: int
    """The denominator of every mean: questions times runs."""
    finished: int
    """Answers that came to an end."""
    unfinished: dict[str, int]
    """The others, by what kept them."""
    unjudged: int
    """Answers that the judging model gave no readable verdict on; they count as not right."""
    groups: tuple[EvalGroup, ...]
    """All questions first, then each benchmark when there are several."""
    support: float | None
    """Mean share of the supporting passages that were shown; None where none is known."""
    searches: float
    """Mean number of queries for an answer."""
    calls: int
    """Calls of language models."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens received."""
    cost: float
    """By the price table."""
    questions_digest: str
    """Hash of the questions and their golds."""
    engine: str
    """Fingerprint of the search engine."""
    k: int
    """Passages shown for a step."""
    version: str
    """Version of rampforge."""

    @property
    def metrics(self) -> dict[MetricName, Metric]:
        """The figures over all questions."""
        return self.groups[0].metrics


class DecontaminationConfig(Frozen):
    """The `decontamination` section of the configuration: what must not be trained on."""

    benchmarks: tuple[str, ...] = ()
    """Files of questions that models are evaluated on, or benchmarks by name; what overlaps them is never exported."""
    ngram: int = Field(default=8, ge=4, le=64)
    """So many tokens of a question in a row, in a passage or in what a trajectory says, are an overlap."""


class PairedDifference(Frozen):
    """One metric of two evaluations on the same questions."""

    metric: MetricName
    """Which."""
    base: float
    """Mean of the first."""
    other: float
    """Mean of the second."""
    difference: float
    """Second less first."""
    low: float
    """Lower end of the 95% bootstrap interval of the difference, over questions."""
    high: float
    """Its upper end."""
    p_value: float
    """Of the two-sided paired sign-flip test."""
    better: int
    """Questions on which the second is better."""
    worse: int
    """Questions on which it is worse."""
