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
from itertools import chain, repeat
from typing import Any

from pipeline.importing.attempt import Dialogue, ForeignAttempt, ForeignCall, ForeignStep
from pipeline.importing.dialogues import BAD_CALL
from pipeline.importing.errors import RowError
from pipeline.importing.facts import BAD_FACTS, ExportedFacts
from pipeline.rendering.observations import ReadingError, read_answers, read_documents
from pipeline.rendering.tag_pairs import find_pairs
from pipeline.rendering.task_text import describe_repeats
from schemas.record import content_id
from schemas.renderings import QuestionKind, ShownDocument
from schemas.tasks import GAP, MASK, REPEAT, AnswerStyle, MaskTask, Span, SpanKind, SpanSource
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
MOST_HITS = 1 << 16
"""Queries times documents of one call, of which each query lists each document."""
BAD_QUESTION, TOO_MANY_HITS = "bad_question", "too_many_hits"
_MASKS = re.compile(r"\[mask \d+\]")
_ANSWER = re.compile("<answer>"), "</answer>"
_BOX = re.compile(r"\\boxed\{([^{}]+)\}")
_EXACT = re.compile(r"^[^\w\n]*exact answer[^\w\n:：]*[:：]", re.IGNORECASE | re.MULTILINE)
_EMPHASIS = "*_` \t\n\r"
_CHINESE = re.compile("[\u4e00-\u9fff]")


def make_task(attempt: ForeignAttempt) -> MaskTask:
    """Make the task of an attempt. Raises RowError."""
    if attempt.facts:
        return _restore_task(attempt.facts)
    question = attempt.question.strip()
    if not question or GAP.search(question):
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


def _restore_task(facts: ExportedFacts) -> MaskTask:
    """Make a task again from what the export of its trajectory says. Raises RowError."""
    section = ""
    if facts.kind is QuestionKind.QA:
        masked = f"{facts.question}\n{MASK}"
    else:
        question = facts.question.removesuffix(describe_repeats((facts.question,), facts.lang))
        page, _, masked = question.partition("\n")
        section, masked = page.removeprefix(facts.title).removeprefix(" > "), _MASKS.sub(MASK, masked)
    pieces = masked.split(MASK)
    if len(pieces) - 1 != len(facts.golds):
        raise RowError(BAD_FACTS, f"extra.rampforge: {len(pieces) - 1} masks, {len(facts.golds)} golds")
    spans, at = [], 0
    for piece, forms, kind, difficulty in zip(
        pieces[:-1], facts.golds, facts.mask_kinds, facts.difficulties, strict=True
    ):
        filled = REPEAT.sub(lambda match: _repeat_gold(facts.golds, match), piece)
        spans.append(_make_span(at + len(filled), forms, kind, difficulty))
        at = spans[-1].end
    return MaskTask(
        task_id=facts.task_id,
        passage_id=facts.passage_id,
        document_id=facts.document_id,
        page_id=facts.page_id,
        lang=facts.lang,
        title=facts.title,
        section=tuple(section.split(" > ")) if section else (),
        masked_text=masked,
        spans=tuple(spans),
        mask_count=len(spans),
        answer_style=AnswerStyle.SPANS,
        difficulty=facts.difficulty,
        kind=facts.kind,
    )


def _repeat_gold(golds: Sequence[Sequence[str]], match: re.Match[str]) -> str:
    number = int(match[1])
    return golds[number - 1][0] if 1 <= number <= len(golds) else match[0]


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
    return Trajectory(
        trajectory_id=(facts and facts.id) or content_id("imported", identity),
        task_id=task.task_id,
        attempt=number,
        policy=(facts and facts.policy) or attempt.policy,
        hide=facts.hide if facts else HideMode.NONE,
        turns=tuple(_list_turns(dialogue, task.lang, facts.shown if facts else ())),
        answers=tuple(MaskAnswer(mask=n, answer=text, evidence=None) for n, text in enumerate(answers)),
        final_think="\n\n".join(filter(None, (dialogue.thought, rest))),
        stop_reason=StopReason.ANSWERED if all(answers) else StopReason.NO_ANSWER,
        usage=(),
        prompts=(),
        sampling="{}",
        engine="",
    )


def split_answer(reply: str) -> tuple[str, str]:
    """Return the answer in the last text of a model, and what stands beside it; the whole where nothing marks one."""
    if pair := next(find_pairs(reply, *_ANSWER), None):
        rest = (reply[: pair.opening.start()] + reply[pair.end :]).strip()
        box = _BOX.fullmatch(pair.inside.strip())
        return (box[1] if box else pair.inside).strip(), rest
    exact = list(_EXACT.finditer(reply))
    if exact and (told := reply[exact[-1].end() :].strip(_EMPHASIS)):
        return told.partition("\n")[0].strip(_EMPHASIS), reply
    if boxes := _BOX.findall(reply):
        return str(boxes[-1]).strip(), reply
    return reply.strip(), ""


def _read_answers(text: str, count: int) -> tuple[str | None, ...]:
    try:
        return read_answers(text, count)
    except ReadingError:
        lines = [line.strip() for line in text.split("\n") if line.strip()][:count]
        return (*lines, *(None,) * (count - len(lines)))


def _list_turns(dialogue: Dialogue, lang: str, known: Sequence[Sequence[str]]) -> Iterator[Turn]:
    """Yield the turns. `known`: ids of the passages shown, turn by turn, if the row has them."""
    for step, ids in zip(dialogue.steps, chain(known, repeat(())), strict=False):
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
    if not queries and call.name == SEARCH:
        raise RowError(BAD_CALL, f"a search has no text under {', '.join(QUERY_KEYS)}")
    if len(queries) * len(ids) > MOST_HITS:
        raise RowError(TOO_MANY_HITS, f"a call with {len(queries):,} queries that were shown {len(ids):,} documents")
    hits = tuple(Hit(passage_id=passage_id, score=None) for passage_id in ids)
    status = SearchStatus.OK if hits else SearchStatus.EMPTY
    if call.result is None:
        status = SearchStatus.ERROR
    detail = "the row has no result" if status is SearchStatus.ERROR else None
    for query in queries or [_write_arguments(call.arguments)]:
        yield SearchCall(query=query, status=status, hits=hits, detail=detail, tool=SEARCH if queries else call.name)


def _write_arguments(arguments: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(arguments), ensure_ascii=False)
    except RecursionError:
        raise RowError(BAD_CALL, "the arguments of a call are nested too deeply") from None


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
