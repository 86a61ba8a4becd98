"""Overlap of tasks and trajectories with benchmark questions, and the streaming filter that drops it.

Three signs, the strongest first:
- `eval_answer_and_title`: a hidden span is a gold answer, and the question names the page or rests on it;
- `eval_entity_pair`: a hidden span is a gold answer and a name of the question occurs in the passage; or page and
  hidden span are two of the pages that the question rests on, which is a step towards its answer;
- `eval_ngram`: a run of tokens of the question occurs in the passage, or in the text of a trajectory.

Guarantees: the result depends on the task and the questions alone; memory holds the questions and nothing of the
tasks; text is compared as in judging, so Chinese counts by character, and spelling variants are folded. Every task is
passed on or rejected with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.decontamination.question_names import find_names, fold_title, is_telling
from pipeline.text.near_copies import cut_ngrams
from pipeline.text.normalisation import fold_text, holds_tokens, is_unspaced
from schemas.evaluations import EvalQuestion
from schemas.funnel import Reject
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

STAGE = "decontamination"
ANSWER_AND_TITLE, ENTITY_PAIR, NGRAM = "eval_answer_and_title", "eval_entity_pair", "eval_ngram"
DEFAULT_NGRAM = 8
CHINESE = 2
"""A word of Chinese is about two characters, so as many more of them make an n-gram."""
_SAYS_NOTHING = frozenset(("yes", "no", "true", "false", "both", "neither", "none", "unknown", "是", "否", "不 是"))
"""Golds that could answer any question."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Overlap of a task or trajectory with a question."""

    reason: str
    """Reason code."""
    question_id: str
    """The question."""
    detail: str
    """Shared text, in one line."""


@dataclass(frozen=True, slots=True)
class _KnownQuestion:
    """Question prepared for comparison."""

    question_id: str
    names: frozenset[str]
    """Names in the question, and the titles that it rests on."""
    telling: tuple[str, ...]
    """Those of them that identify one thing in any context."""
    titles: frozenset[str]
    """Titles that it rests on."""


class QuestionIndex:
    """Index of benchmark questions, for lookup in tasks."""

    def __init__(self, questions: Iterable[EvalQuestion], ngram: int = DEFAULT_NGRAM) -> None:
        """`ngram`: number of consecutive tokens that are an overlap; a shorter question must occur whole."""
        self.ngram = ngram
        self._by_answer: dict[str, list[_KnownQuestion]] = {}
        self._by_title: dict[str, list[_KnownQuestion]] = {}
        self._ngrams: dict[int, dict[tuple[str, ...], str]] = {}
        self._vocabulary: set[str] = set()
        self.questions = 0
        for question in questions:
            self.questions += 1
            self._add(question)
        self._sizes = sorted(self._ngrams)

    def check_task(self, task: MaskTask) -> Overlap | None:
        """The strongest overlap, or None."""
        title = fold_title(task.page_title)
        hidden = list(_fold_hidden(task))
        text = fold_text(task.fill([span.text for span in task.spans]))
        overlap = self._find_answer(title, hidden, f"{title} {text}") or self._find_step(title, hidden)
        return overlap or self._find_ngram(text)

    def check_trajectory(self, trajectory: Trajectory) -> Overlap | None:
        """Check whether thoughts, queries or conclusions repeat a question; passages shown are not included."""
        texts = [t for turn in trajectory.turns for t in (turn.think, *(c.query for c in turn.calls), turn.conclusion)]
        overlaps = (self._find_ngram(fold_text(text)) for text in (*texts, trajectory.final_think))
        return next((overlap for overlap in overlaps if overlap), None)

    def _add(self, question: EvalQuestion) -> None:
        titles = frozenset(filter(None, map(fold_title, question.titles)))
        golds = {fold_text(form) for forms in question.golds for form in forms}
        names = find_names(question) | titles
        known = _KnownQuestion(question.question_id, names, tuple(sorted(filter(is_telling, names - golds))), titles)
        for gold in golds - _SAYS_NOTHING:
            self._by_answer.setdefault(gold, []).append(known)
        if len(titles) > 1:
            for title in titles:
                self._by_title.setdefault(title, []).append(known)
        tokens = fold_text(question.question).split()
        size = min(len(tokens), self.ngram * (CHINESE if _is_chinese(tokens) else 1))
        if 2 * size > self.ngram:  # a question of very few words is not an n-gram
            for ngram in cut_ngrams(tokens, size):
                self._ngrams.setdefault(size, {}).setdefault(ngram, question.question_id)
                self._vocabulary.update(ngram)

    def _find_answer(self, title: str, hidden: Sequence[str], text: str) -> Overlap | None:
        pair: Overlap | None = None
        for answer in hidden:
            for known in self._by_answer.get(answer, ()):
                if title in known.names and title != answer:
                    return Overlap(ANSWER_AND_TITLE, known.question_id, f"hides {answer!r} on the page {title!r}")
                if pair is None:
                    name = next((name for name in known.telling if holds_tokens(text, name)), None)
                    detail = f"hides {answer!r} beside {name!r}"
                    pair = None if name is None else Overlap(ENTITY_PAIR, known.question_id, detail)
        return pair

    def _find_step(self, title: str, hidden: Sequence[str]) -> Overlap | None:
        for known in self._by_title.get(title, ()):
            for answer in hidden:
                if answer != title and answer in known.titles:
                    return Overlap(ENTITY_PAIR, known.question_id, f"hides {answer!r} on the page {title!r}")
        return None

    def _find_ngram(self, folded: str) -> Overlap | None:
        """The first n-gram of a question; only runs of words that occur in some question are checked."""
        run: list[str] = []
        for token in folded.split():
            if token not in self._vocabulary:
                run.clear()
                continue
            run.append(token)
            for size in self._sizes:
                if size > len(run):
                    break
                question_id = self._ngrams[size].get(tuple(run[-size:]))
                if question_id is not None:
                    return Overlap(NGRAM, question_id, f"shares {' '.join(run[-size:])!r}")
        return None


def drop_overlapping(tasks: Iterable[MaskTask], index: QuestionIndex) -> Iterator[MaskTask | Reject]:
    """Yield each task, or the reason for dropping it."""
    for task in tasks:
        overlap = index.check_task(task)
        yield task if overlap is None else reject_overlap("task", task.task_id, overlap)


def reject_overlap(unit: str, input_id: str, overlap: Overlap) -> Reject:
    """The reject row of a dropped item."""
    detail = f"{overlap.question_id}: {overlap.detail}"
    return Reject(stage=STAGE, unit=unit, input_id=input_id, reason=overlap.reason, detail=detail)


def _fold_hidden(task: MaskTask) -> Iterator[str]:
    """All forms of a task's hidden spans, each once."""
    forms = (form for span in task.spans for form in (span.text, *span.aliases, span.target or ""))
    yield from dict.fromkeys(folded for form in forms if (folded := fold_title(form)))


def _is_chinese(tokens: Sequence[str]) -> bool:
    return 2 * sum(is_unspaced(token[0]) for token in tokens) > len(tokens)
