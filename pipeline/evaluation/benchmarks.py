"""Benchmarks: the questions of a file, and its rejects.

Guarantees: every row is a question or a reject with reason and position; ids are unique; a sample depends on the
questions and the seed, not on their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline.errors import ConfigError, SourceError
from pipeline.evaluation.benchmark_files import BrokenRow, PlacedRow, read_rows
from pipeline.evaluation.benchmark_rows import UnfitRowError, read_question
from schemas.evaluations import EvalQuestion
from schemas.funnel import Reject
from schemas.record import content_id

STAGE = "benchmark"
DETAIL_CHARS = 300
ENDINGS = tuple(f".{kind}{packed}" for kind in ("jsonl", "json", "csv", "tsv", "parquet") for packed in ("", ".gz"))

PUBLISHED = {
    "hotpotqa": "hotpot_dev_fullwiki_v1.json, hotpotqa.github.io (CC BY-SA 4.0)",
    "musique": "musique_ans_v1.0_dev.jsonl, github.com/StonyBrookNLP/musique (CC BY 4.0)",
    "2wikimultihopqa": "dev.json, github.com/Alab-NII/2wikimultihop (Apache-2.0)",
    "bamboogle": "the sheet linked at github.com/ofirpress/self-ask, saved as CSV (MIT)",
    "fanoutqa": "fanout-final-dev.json, github.com/zhudotexe/fanoutqa (CC BY-SA 4.0)",
    "freshqa": "the sheet linked at github.com/freshllms/freshqa, saved as CSV (Apache-2.0)",
}
"""The benchmarks of the paper, and where their authors publish them."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Contents of a file."""

    name: str
    questions: tuple[EvalQuestion, ...]
    """In the order of the file."""
    rejects: tuple[Reject, ...]

    @property
    def digest(self) -> str:
        """Hash of questions and golds."""
        return digest_questions(self.questions)


def digest_questions(questions: Iterable[EvalQuestion]) -> str:
    """Hash of questions and golds in any order."""
    return content_id(sorted([q.question_id, q.dataset, q.lang, q.question, q.golds] for q in questions))


def find_benchmark(name: str, folder: Path) -> Path:
    """The file given by a path, or by a name in a folder. Raises ConfigError."""
    path = Path(name)
    if path.is_file():
        return path
    if name not in PUBLISHED:
        raise ConfigError(f"benchmark {name}: no such file", f"give a file, or one of: {', '.join(PUBLISHED)}")
    files = [folder / f"{name}{ending}" for ending in ENDINGS if (folder / f"{name}{ending}").is_file()]
    if not files:
        fix = f"put it there as {name}.json (or .jsonl, .csv, .parquet), or give its path: {PUBLISHED[name]}"
        raise ConfigError(f"benchmark {name} is not in {folder}", fix)
    return files[0]


def read_benchmark(path: Path, name: str | None = None) -> Benchmark:
    """The questions of a file. Raises SourceError when it is unreadable or has none."""
    name = name or path.name.split(".")[0]
    questions: dict[str, EvalQuestion] = {}
    rejects: list[Reject] = []
    for row in read_rows(path):
        question = _read_row(row, name)
        if isinstance(question, EvalQuestion) and question.question_id in questions:
            question = _reject(row.place, "repeated", f"id {question.question_id} stands before")
        if isinstance(question, Reject):
            rejects.append(question)
        else:
            questions[question.question_id] = question
    if not questions:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in count_reasons(rejects).items()) or "it is empty"
        first = f"; first: {rejects[0].input_id}: {rejects[0].detail}" if rejects else ""
        raise SourceError(f"{path}: no question in it ({reasons}{first})", "a row has `question` and `answer`")
    return Benchmark(name, tuple(questions.values()), tuple(rejects))


def count_reasons(rejects: Iterable[Reject]) -> dict[str, int]:
    """Number of rejects by reason."""
    return dict(sorted(Counter(reject.reason for reject in rejects).items()))


def draw_sample(questions: tuple[EvalQuestion, ...], size: int | None, seed: int) -> tuple[EvalQuestion, ...]:
    """A sample of the questions, in their order; all of them for None."""
    if size is None or size >= len(questions):
        return questions
    sample = sorted(questions, key=lambda question: content_id("sample", seed, question.question_id))[:size]
    chosen = {question.question_id for question in sample}
    return tuple(question for question in questions if question.question_id in chosen)


def _read_row(row: PlacedRow | BrokenRow, name: str) -> EvalQuestion | Reject:
    if isinstance(row, BrokenRow):
        return _reject(row.place, "not_readable", row.detail)
    try:
        return read_question(row.fields, name)
    except UnfitRowError as error:
        return _reject(row.place, error.reason, str(error))
    except (ValidationError, TypeError, ValueError) as error:
        return _reject(row.place, "malformed", " ".join(str(error).split()))


def _reject(place: str, reason: str, detail: str) -> Reject:
    return Reject(stage=STAGE, unit="question", input_id=place, reason=reason, detail=detail[:DETAIL_CHARS])
