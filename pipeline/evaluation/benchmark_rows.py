"""Questions from the rows of a benchmark's file, in each of the published forms.

The fields of a row indicate its form, so a benchmark may come as its authors publish it, as the Hub has it, or in the
plain form that search agents share (`question`, `golden_answers`). An unfit row is an error with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.text.normalisation import fold_text
from schemas.evaluations import EvalQuestion
from schemas.record import content_id

Fields = Mapping[str, Any]
Golds = tuple[tuple[str, ...], ...]

_HAN = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff]")
FRESH_ANSWERS = 10
"""FreshQA's sheet has the columns `answer_0` to `answer_9`."""


class UnfitRowError(ValueError):
    """Row without a question that can be answered and scored."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        """Reason code: no_question, no_answer or unanswerable."""


def read_question(row: Fields, dataset: str) -> EvalQuestion:
    """The question of a row; `dataset`: its benchmark unless the row names one. Raises UnfitRowError."""
    text = _read_text(row, ("question", "Question", "query"))
    if not text:
        raise UnfitRowError("no_question", f"no text in it; fields: {', '.join(map(str, row))}")
    if row.get("answerable") is False:
        raise UnfitRowError("unanswerable", text)
    golds = tuple(part for part in _read_golds(row) if part)
    if not golds:
        raise UnfitRowError("no_answer", text)
    name = _read_text(row, ("dataset",)) or dataset
    return EvalQuestion(
        question_id=_read_text(row, ("question_id", "_id", "id", "qid")) or content_id(name, text),
        dataset=name,
        lang=_read_text(row, ("lang",)) or guess_language(text),
        question=text,
        golds=golds,
        titles=tuple(dict.fromkeys(_find_titles(row))),
        supporting_ids=tuple(map(str, row.get("supporting_ids") or ())),
    )


def guess_language(text: str) -> str:
    """Chinese where half of the letters are Han characters and none is kana, else English."""
    han, letters = len(_HAN.findall(text)), sum(map(str.isalpha, text))
    return "zh" if han and 2 * han >= letters and not _KANA.search(text) else "en"


def _read_text(row: Fields, names: Iterable[str]) -> str:
    """The first field that holds text or a number."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def _read_golds(row: Fields) -> Golds:
    """The ways to write each part of the answer, in the form that the row's fields indicate."""
    if "answers" in row or "golden_answers" in row:  # the plain form, and SQuAD's `{"text": [...]}`
        forms = row.get("golden_answers", row.get("answers"))
        return (_collect(forms.get("text") if isinstance(forms, dict) else forms),)
    if "answer_aliases" in row:  # MuSiQue
        return (_collect([row.get("answer"), row["answer_aliases"]]),)
    if "answer_0" in row:  # FreshQA's sheet: a column for each way to write the answer
        return (_collect(row.get(f"answer_{number}") for number in range(FRESH_ANSWERS)),)
    if "decomposition" in row or "necessary_evidence" in row or isinstance(row.get("answer"), dict):
        # FanOutQA: an answer of many parts, repeated ones each time; of a mapping both keys and values
        return tuple((part,) for part in _flatten(row.get("answer")))
    return (_collect(row.get("answer", row.get("Answer"))),)  # HotpotQA, 2WikiMultihopQA and Bamboogle


def _collect(values: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_flatten(values)))


def _flatten(value: Any) -> Iterator[str]:
    """Every comparable text in a value; truth values as yes and no, whole numbers without a decimal point."""
    if isinstance(value, bool):
        yield "yes" if value else "no"
    elif isinstance(value, float) and value.is_integer():
        yield str(int(value))
    elif isinstance(value, str | int | float):
        if fold_text(text := str(value).strip()):
            yield text
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(key)
            yield from _flatten(inner)
    elif isinstance(value, Iterable):
        for inner in value:
            yield from _flatten(inner)


def _find_titles(row: Fields) -> Iterator[str]:
    """Titles of the pages with the answer, in the form of each benchmark."""
    yield from _flatten(row.get("supporting_titles"))
    facts = row.get("supporting_facts")  # HotpotQA and 2Wiki: pairs of title and sentence; on the Hub two columns
    if isinstance(facts, dict):
        yield from _flatten(facts.get("title"))
    elif isinstance(facts, list):
        yield from (str(fact[0]) for fact in facts if isinstance(fact, list) and fact)
    for paragraph in _list_objects(row.get("paragraphs")):  # MuSiQue
        if paragraph.get("is_supporting"):
            yield from _flatten(paragraph.get("title"))
    yield from _find_evidence(row)


def _find_evidence(row: Fields) -> Iterator[str]:
    """FanOutQA: every step of the decomposition names its page."""
    for evidence in _list_objects(row.get("necessary_evidence")):
        yield from _flatten(evidence.get("title"))
    for step in _list_objects(row.get("decomposition")):
        if isinstance(step.get("evidence"), dict):
            yield from _flatten(step["evidence"].get("title"))
        yield from _find_evidence(step)


def _list_objects(value: Any) -> Iterator[Fields]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
