"""Task and trajectory from a foreign attempt.

Guarantees: a record says what the row says and no more: no hits' scores, prompts, models or usage; a question without
masks is a task of kind `qa`; the same row makes the same records. Results that name their documents, as in
`Doc 1(Title: ...)`, are passages one by one, others one passage without a title; of several queries of one call, whose
results come together, each lists all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from pipeline.importing.attempt import Dialogue, ForeignAttempt, ForeignCall, ForeignStep, RowError
from pipeline.rendering.observations import ReadingError, read_answers, read_documents
from schemas.record import content_id
from schemas.renderings import QuestionKind, ShownDocument
from schemas.tasks import MASK, AnswerStyle, MaskTask, Span, SpanKind, SpanSource
from schemas.trajectories import (
    SEARCH,
    HideMode,
    Hit,
    MaskAnswer,
    SearchCall,
    SearchStatus,
    ShownPassage,
    StopReason,
    Trajectory,
    Turn,
)

SEARCHES = frozenset(
    {
        "search",
        "web_search",
        "search_web",
        "wiki_search",
        "wikipedia_search",
        "google_search",
        "local_search",
        "retrieve",
    }
)
"""Names of tools that search, without what stands before a dot."""
QUERY_KEYS = ("query", "queries", "q", "search_query", "search_queries")
NO_GOLD, BAD_QUESTION, BAD_FACTS = "no_gold", "bad_question", "bad_facts"
_MASKS = re.compile(r"\[mask \d+\]")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_BOX = re.compile(r"\\boxed\{([^{}]+)\}")
_EXACT = re.compile(r"^\W*exact answer\W*?[:：]\W*(.+?)[\s*]*$", re.IGNORECASE | re.MULTILINE)
_CHINESE = re.compile("[\u4e00-\u9fff]")


def make_task(attempt: ForeignAttempt) -> MaskTask:
    """Make the task of an attempt. Raises RowError."""
    if attempt.facts:
        try:
            return _restore_task(attempt.facts)
        except (KeyError, TypeError, ValueError) as error:  # of pydantic too
            raise RowError(BAD_FACTS, f"extra.rampforge: {_shorten(error)}") from None
    question = attempt.question.strip()
    if not attempt.golds:
        raise RowError(NO_GOLD, "the row has no right answer to judge by")
    if not question or MASK in question:
        raise RowError(BAD_QUESTION, "the question is empty, or holds a mask")
    identity = content_id("question", question, attempt.golds)
    text, *aliases = attempt.golds
    return MaskTask(
        task_id=content_id("imported", question, attempt.golds),
        passage_id=identity,
        document_id=content_id("question", question),
        page_id=0,
        lang="zh" if _CHINESE.search(question) else "en",
        title="",
        section=(),
        masked_text=f"{question}\n{MASK}",
        spans=(_make_span(len(question) + 1, (text, *aliases), SpanKind.TERM, None),),
        mask_count=1,
        answer_style=AnswerStyle.SPANS,
        difficulty=None,
        kind=QuestionKind.QA,
    )


def _restore_task(facts: Mapping[str, Any]) -> MaskTask:
    """Make a task again from what the export of its trajectory says."""
    kind, text, golds = QuestionKind(facts["kind"]), str(facts["question"]), facts["golds"]
    title, section = str(facts["title"]), ""
    if abs(facts["page_id"]) >> 63:
        raise ValueError("page_id is no 64-bit number")
    if kind is QuestionKind.QA:
        masked = f"{text}\n{MASK}"
    else:
        page, _, masked = text.partition("\n")
        section, masked = page.removeprefix(title).removeprefix(" > "), _MASKS.sub(MASK, masked)
    pieces = masked.split(MASK)
    if len(pieces) - 1 != len(golds) or not golds or not all(any(forms) for forms in golds):
        raise ValueError(f"{len(pieces) - 1} masks, {len(golds)} golds")
    spans, at = [], 0
    for piece, forms, mask_kind, difficulty in zip(
        pieces[:-1], golds, facts["mask_kinds"], facts["difficulties"], strict=True
    ):
        spans.append(_make_span(at + len(piece), forms, SpanKind(mask_kind), difficulty))
        at = spans[-1].end
    return MaskTask(
        task_id=str(facts["task_id"]),
        passage_id=str(facts["passage_id"]),
        document_id=str(facts["document_id"]),
        page_id=facts["page_id"],
        lang=str(facts["lang"]),
        title=title,
        section=tuple(section.split(" > ")) if section else (),
        masked_text=masked,
        spans=tuple(spans),
        mask_count=len(spans),
        answer_style=AnswerStyle.SPANS,
        difficulty=facts["difficulty"],
        kind=kind,
    )


def _make_span(start: int, forms: Sequence[str], kind: SpanKind, difficulty: float | None) -> Span:
    text, *aliases = forms
    return Span(
        start=start,
        end=start + len(text),
        text=text,
        kind=kind,
        label=kind.value,
        source=SpanSource.IMPORTED,
        target=None,
        aliases=tuple(aliases),
        difficulty=difficulty,
        perplexity=None,
    )


def make_trajectory(task: MaskTask, attempt: ForeignAttempt, identity: str, number: int) -> Trajectory:
    """Make the trajectory of an attempt with a dialogue. `identity`: of the row; `number`: of the attempt at its task.

    Raises RowError.
    """
    dialogue, facts = attempt.dialogue, attempt.facts
    if dialogue is None:
        raise ValueError("no dialogue")
    answer, rest = split_answer(dialogue.reply)
    answers = _read_answers(answer, task.mask_count)
    try:
        return Trajectory(
            trajectory_id=str(facts.get("id") or content_id("imported", identity)),
            task_id=task.task_id,
            attempt=number,
            policy=str(facts.get("policy") or attempt.policy),
            hide=HideMode(facts.get("hide") or HideMode.NONE),
            turns=tuple(_list_turns(dialogue, task.lang, facts.get("shown"))),
            answers=tuple(MaskAnswer(mask=n, answer=text, evidence=None) for n, text in enumerate(answers)),
            final_think="\n\n".join(filter(None, (dialogue.thought, rest))),
            stop_reason=StopReason.ANSWERED if all(answers) else StopReason.NO_ANSWER,
            usage=(),
            prompts=(),
            sampling="{}",
            engine="",
        )
    except (ValidationError, ValueError) as error:
        raise RowError(BAD_FACTS, f"extra.rampforge: {_shorten(error)}") from None


def split_answer(reply: str) -> tuple[str, str]:
    """Return the answer in the last text of a model, and what stands beside it; the whole where nothing marks one."""
    if match := _ANSWER.search(reply):
        rest = (reply[: match.start()] + reply[match.end() :]).strip()
        box = _BOX.fullmatch(match[1].strip())
        return (box[1] if box else match[1]).strip(), rest
    for pattern in (_EXACT, _BOX):
        if found := pattern.findall(reply):
            return str(found[-1]).strip(), reply
    return reply.strip(), ""


def _read_answers(text: str, count: int) -> tuple[str | None, ...]:
    try:
        return read_answers(text, count)
    except ReadingError:
        lines = [line.strip() for line in text.split("\n") if line.strip()][:count]
        return (*lines, *(None,) * (count - len(lines)))


def _list_turns(dialogue: Dialogue, lang: str, known: object) -> Iterator[Turn]:
    """Yield the turns. `known`: ids of the passages shown, turn by turn, if the row has them."""
    for number, step in enumerate(dialogue.steps):
        ids = known[number] if isinstance(known, Sequence) and len(known) > number else ()
        yield _make_turn(step, lang, ids)


def _make_turn(step: ForeignStep, lang: str, ids: Sequence[str]) -> Turn:
    shown: dict[str, ShownPassage] = {}
    calls: list[SearchCall] = []
    for call in step.calls:
        documents = _read_result(call.result, lang)
        names = ids if len(step.calls) == 1 and len(ids) == len(documents) else ()
        passages = [
            ShownPassage(
                passage_id=names[place] if names else content_id("shown", document.title, document.text),
                title=document.title,
                text=document.text,
            )
            for place, document in enumerate(documents)
        ]
        shown |= {passage.passage_id: passage for passage in passages}
        calls += _make_calls(call, tuple(dict.fromkeys(passage.passage_id for passage in passages)))
    return Turn(think=step.thought, calls=tuple(calls), shown=tuple(shown.values()), conclusion="")


def _make_calls(call: ForeignCall, ids: Sequence[str]) -> Iterator[SearchCall]:
    searches = call.name.rpartition(".")[2].lower() in SEARCHES
    queries = _list_queries(call.arguments) if searches else []
    hits = tuple(Hit(passage_id=passage_id, score=None) for passage_id in ids)
    status = SearchStatus.OK if hits else SearchStatus.EMPTY
    if call.result is None:
        status = SearchStatus.ERROR
    detail = "the row has no result" if status is SearchStatus.ERROR else None
    for query in queries or [json.dumps(dict(call.arguments), ensure_ascii=False)]:
        yield SearchCall(query=query, status=status, hits=hits, detail=detail, tool=SEARCH if queries else call.name)


def _list_queries(arguments: Mapping[str, Any]) -> list[str]:
    value = next((arguments[key] for key in QUERY_KEYS if key in arguments), None)
    values = value if isinstance(value, list) else [value]
    queries = [each for each in values if isinstance(each, str)]
    return queries if len(queries) == len(values) else []


def _read_result(text: str | None, lang: str) -> tuple[ShownDocument, ...]:
    if text is None or not text.strip():
        return ()
    try:
        return read_documents(text.strip(), lang)
    except ReadingError:
        return (ShownDocument(title="", text=text.strip()),)


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
