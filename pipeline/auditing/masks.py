"""Measures of masks: what the task itself gives away, cut units, and masks that others could fill as well.

They are heuristics over the words of the task (its masked text, title and headings), independent of the filters that
chose the spans: Chinese words are pairs of characters here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.auditing.attempts import Query
from pipeline.judging.order_free import group_masks
from pipeline.search.tokens import Tokenizer, make_tokenizer
from pipeline.text.normalisation import fold_text, holds_tokens, is_unspaced
from schemas.audit import Measure
from schemas.tasks import MASK, REPEAT

MOST_TASKS = 20_000
"""Tasks that are read: those with the smallest ids."""
SHORTEST_WORD = 4
"""Letters of a content word in lower case."""
STEM = 5
"""Letters that a derived word has in common with its root."""
ACRONYM = re.compile(r"[^\W\d_]{2,6}")
OPEN_LISTS = re.compile(r"\b(?:such as|including|e\.g\.|for example|like)\s*$", re.IGNORECASE)
PAIRS = ("()", "[]", "“”", "「」", "《》", "（）")

_TASKS = f"""
    SELECT lang, title, section, masked_text, spans FROM tasks ORDER BY task_id LIMIT {MOST_TASKS}
"""  # noqa: S608 - SQL of this module alone

_CHECKED = """
    SELECT lang, span.closed_book.model, count_if(span.closed_book.known), count(*)
    FROM (SELECT lang, unnest(spans) AS span FROM tasks) WHERE span.closed_book IS NOT NULL GROUP BY ALL ORDER BY ALL
"""

ABOUT: Mapping[str, str] = {
    "given_away": "masks whose gold, alias, expansion or acronym, or all of whose content words stand in the task",
    "hinted": "masks of which a content word, or a word with the same five first letters, stands in the task",
    "in_section": "masks whose gold or an alias stands in the headings",
    "cut_units": "masks that are part of a word, a range or a quotation",
    "open_lists": "masks after words such as 'such as', which many fillings fit",
    "exchangeable": "tasks with masks whose answers may be exchanged, and so are scored as a set",
}


@dataclass(frozen=True, slots=True)
class TaskRow:
    """Columns of a task that are audited."""

    lang: str
    title: str
    section: Sequence[str]
    masked_text: str
    spans: Sequence[Mapping[str, Any]]


def measure_masks(query: Query) -> Iterator[Measure]:
    """Yield the measures of the tasks' masks, by language."""
    counts: Counter[tuple[str, str]] = Counter()
    masks: Counter[str] = Counter()
    several: Counter[str] = Counter()
    tokenizers: dict[str, Tokenizer] = {}
    for row in query(_TASKS):
        task = TaskRow(*row)
        lang = task.lang.split("-")[0]
        tokenize = tokenizers.setdefault(lang, make_tokenizer(lang, "auto"))
        masks[lang] += len(task.spans)
        several[lang] += len(task.spans) > 1
        counts.update((lang, fault) for fault in find_faults(task, tokenize))
    for lang in sorted(masks):
        for name, about in ABOUT.items():
            of = several[lang] if name == "exchangeable" else masks[lang]
            if of:
                yield Measure(name=name, part=f"lang={lang}", count=counts[lang, name], of=of, about=about)
    for lang, model, known, checked in query(_CHECKED):
        about = "masks that the model fills without a search, of those checked"
        yield Measure(name="closed_book", part=f"lang={lang}, model={model}", count=known, of=checked, about=about)


def find_faults(task: TaskRow, tokenize: Tokenizer) -> Iterator[str]:
    """Yield the name of each measure that each mask of a task counts in, and `exchangeable` once for the task."""
    pieces = [REPEAT.sub(" ", piece) for piece in task.masked_text.split(MASK)]
    around = [REPEAT.sub(" ", text) for text in (task.title, *task.section)]
    plain = fold_text(" ".join(pieces))
    heading = fold_text(" ".join(around))
    given = set(tokenize(" ".join((*pieces, *around))))
    stems = {term[:STEM] for term in given if len(term) >= STEM and not is_unspaced(term[0])}
    for number, span in enumerate(task.spans):
        before, after = pieces[number], pieces[number + 1]
        forms = [fold_text(form) for form in (span["text"], *span["aliases"])]
        words = _list_content(span["text"], tokenize)
        in_section = any(holds_tokens(heading, form) for form in forms)
        if in_section:
            yield "in_section"
        if (
            in_section
            or any(holds_tokens(plain, form) for form in forms)
            or (words and words <= given)
            or _is_acronym_beside(span["text"], before, after)
        ):
            yield "given_away"
        if words & given or {word[:STEM] for word in words if len(word) >= STEM} & stems:
            yield "hinted"
        if _is_cut(span["text"], before, after):
            yield "cut_units"
        if OPEN_LISTS.search(before):
            yield "open_lists"
    if any(group_masks(task.masked_text, len(task.spans))):
        yield "exchangeable"


def _list_content(text: str, tokenize: Tokenizer) -> set[str]:
    words = [word for word in re.findall(r"\w+", text) if len(word) >= SHORTEST_WORD or not word.islower()]
    return {term for term in tokenize(" ".join(words)) if len(term) > 1}


def _is_acronym_beside(gold: str, before: str, after: str) -> bool:
    """Return whether the gold is the initials of the words before it or the other way round, in brackets or not."""
    if ACRONYM.fullmatch(gold) and gold.isupper():
        near = re.findall(r"\w+", before)[-2 * len(gold) :]
        capitals = [word for word in near if word[0].isupper()]
        return any("".join(word[0] for word in words).upper().endswith(gold) for words in (near, capitals))
    initials = "".join(word[0] for word in re.findall(r"\w+", gold) if word[0].isupper())
    follows = re.match(r"\s*\((\w+)", after)
    return len(initials) > 1 and follows is not None and follows[1].upper() == initials


def _is_cut(gold: str, before: str, after: str) -> bool:
    joined = _is_one_word(before[-1:], gold[:1]) or _is_one_word(gold[-1:], after[:1])
    ranged = bool(re.search(r"\d\s?[–—-]$", before) and gold[:1].isdigit()) or bool(
        re.match(r"[–—-]\s?\d", after) and gold[-1:].isdigit()
    )
    unbalanced = any(gold.count(pair[0]) != gold.count(pair[1]) for pair in PAIRS) or gold.count('"') % 2 == 1
    return joined or ranged or unbalanced


def _is_one_word(left: str, right: str) -> bool:
    return left.isalnum() and right.isalnum() and not (is_unspaced(left) or is_unspaced(right))
