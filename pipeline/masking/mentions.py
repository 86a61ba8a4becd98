"""Mentions: the other places where a question shows the answer of a span as it is written.

A question is the page's title, the headings above the passage, and the passage. A mention is a form of the answer (its
text, an alias, for a person of several names also the bare surname) as whole words, in any case but the lower case of
what is written with a capital. Scripts without spaces have no bounds of words. A bare figure has no mentions: the same
figure may count other things.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from unicodedata import combining

from pipeline.search.tokens import STOPWORDS_EN
from pipeline.text.normalisation import is_unspaced
from schemas.passages import Passage
from schemas.tasks import MASK, REPEAT, Mention, Span, write_repeat

Bounds = tuple[int, int]
Places = tuple[tuple[Bounds, ...], ...]
"""Bounds of mentions in each text of a question: title, headings, passage."""

PERSON_LABELS = frozenset({"PERSON", "PER"})
FIGURE = re.compile(r"[\d.,]*\d[\d.,]*|[^\W\d_]+(?:-[^\W\d_]+)?")
"""A number in figures or in one word."""
SURNAME = re.compile(r"[^\W\d_][^\W\d_'’-]{2,}\Z")
NO_SURNAMES = frozenset({"Jnr", "Snr", "III"})
BEFORE = re.compile(r"([^\W\d_][\w’']*\.?)[^\S\n]+\Z")
AFTER = re.compile(r"[^\S\n]+[^\W\d_]|[-–’']?[^\W\d_]")
BESIDE = 40
"""Characters before a surname in which a name is looked for."""
TITLES = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "dr",
        "prof",
        "professor",
        "sir",
        "dame",
        "lord",
        "lady",
        "king",
        "queen",
        "prince",
        "princess",
        "president",
        "senator",
        "governor",
        "general",
        "colonel",
        "captain",
        "major",
        "bishop",
        "pope",
        "saint",
        "st",
    ]
)
"""Words before a surname that are not first names."""


def list_texts(passage: Passage) -> tuple[str, ...]:
    """Return the texts of a question: title, headings, passage."""
    return passage.title, *passage.section, passage.text


def find_mentions(passage: Passage, bounds: Bounds, forms: Sequence[str], label: str) -> Places:
    """Return the mentions of a span, given by its bounds, the forms of its answer and its label."""
    surname = _find_surname(forms[0]) if label in PERSON_LABELS else None
    texts = list_texts(passage)
    if FIGURE.fullmatch(forms[0]) and label in {"cardinal", "ordinal", "ordinal_word"}:
        return ((),) * len(texts)
    places = []
    for number, text in enumerate(texts):
        taken = [bounds] if number == len(texts) - 1 else []
        found = [
            place for form in forms for place in _find_words(text, form) if _keeps_case(text[slice(*place)], forms)
        ]
        found = _take_longest(found, taken)
        if surname:
            bare = [
                place for place in _find_words(text, surname) if text[place[0]].isupper() and _is_bare(text, *place)
            ]
            found += _take_longest(bare, [*taken, *found])
        places.append(tuple(sorted(found)))
    return tuple(places)


def _find_words(text: str, form: str) -> Iterator[Bounds]:
    """Yield where a form stands as whole words, in any case."""
    words = form.split()
    if any(map(str.isalnum, form)) and words[0].lower() in text.lower():
        for match in re.finditer(r"[^\S\n]+".join(map(re.escape, words)), text, re.IGNORECASE):
            if not _is_cut(text, *match.span()):
                yield match.span()


def _is_cut(text: str, start: int, end: int) -> bool:
    """Return whether a stretch is part of a longer word or number."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before and _is_letter(before[-1]) and _is_letter(text[start]):
        return True
    if after and _is_letter(text[end - 1]) and _is_letter(after[0]):
        return True
    return _joins_numbers(before + text[start]) or _joins_numbers(text[end - 1] + after)


def _is_letter(char: str) -> bool:
    return bool(combining(char)) or (char.isalnum() and not is_unspaced(char))


def _joins_numbers(three: str) -> bool:
    return len(three) == len("1.5") and three[0].isdigit() and three[1] in ".," and three[2].isdigit()


def _take_longest(places: Iterable[Bounds], taken: Sequence[Bounds]) -> list[Bounds]:
    """Return places that overlap neither each other nor those taken, from the first, the longest of one start."""
    found = list[Bounds]()
    for place in sorted(places, key=lambda place: (place[0], -place[1])):
        if not any(_overlap(place, other) for other in (*taken, *found[-1:])):
            found.append(place)
    return found


def _keeps_case(text: str, forms: Sequence[str]) -> bool:
    return not text.islower() or any(form.islower() for form in forms if form.casefold() == text.casefold())


def _find_surname(name: str) -> str | None:
    last = name.split()[-1]
    if last == name or not last[0].isupper() or not SURNAME.match(last) or last in NO_SURNAMES:
        return None
    return last


def _is_bare(text: str, start: int, end: int) -> bool:
    """Return whether no other name stands directly beside a surname."""
    before = BEFORE.search(text[max(0, start - BESIDE) : start])
    follows = AFTER.match(text, end)
    if follows and (follows[0].strip()[:1].isupper() or follows[0][0] in "-–"):
        return False
    if start and text[start - 1] in "-–":
        return False
    if before is None or before[1][0].islower():
        return True
    word = before[1]
    if word.endswith("."):  # a title or the end of a sentence, but an initial is a first name
        return len(word) > len("J.")
    return word.lower() in TITLES | STOPWORDS_EN


def _overlap(one: Bounds, other: Bounds) -> bool:
    return one[0] < other[1] and other[0] < one[1]


@dataclass(frozen=True, slots=True)
class HiddenSpan:
    """Span with its mentions."""

    bounds: Bounds
    places: Places

    def list_texts(self, passage: Passage) -> set[str]:
        """Return what is hidden with it."""
        places = zip(list_texts(passage), self.places, strict=False)
        found = {text[start:end] for text, held in places for start, end in held}
        return {passage.text[slice(*self.bounds)], *found}


@dataclass(frozen=True, slots=True)
class Question:
    """Texts of a question as they are shown."""

    texts: tuple[str, ...]
    """Title, headings, passage, with markers."""
    mentions: tuple[Mention, ...]
    """What the markers of mentions stand for, in order."""


def clash(one: HiddenSpan, other: HiddenSpan) -> bool:
    """Return whether hiding both spans would leave part of a mention to be seen, or show two answers as one."""
    for span, hidden in ((one, other), (other, one)):
        held = span.places[-1] if span.places else ()
        if any(_overlap(place, hidden.bounds) and not _is_inside(place, hidden.bounds) for place in held):
            return True
    return any(
        _overlap(place, found) and not (_is_inside(place, found) or _is_inside(found, place))
        for places, others in zip(one.places, other.places, strict=False)
        for place in places
        for found in others
    )


def _is_inside(inner: Bounds, outer: Bounds) -> bool:
    return inner != outer and outer[0] <= inner[0] and inner[1] <= outer[1]


def hide_question(passage: Passage, spans: Sequence[HiddenSpan]) -> Question:
    """Replace spans, disjoint and in document order, by masks, and their mentions by the markers of those."""
    masks = [span.bounds for span in spans]
    texts, mentions = list(list_texts(passage)), list[Mention]()
    for number, text in enumerate(texts):
        hidden = masks if number == len(texts) - 1 else []
        pieces, at = list[str](), 0
        for (start, end), mask in _list_hidden(hidden, _list_places(spans, number)):
            pieces += [text[at:start], MASK if mask is None else write_repeat(mask)]
            if mask is not None:
                mentions.append(Mention(mask=mask, text=text[start:end]))
            at = end
        texts[number] = "".join((*pieces, text[at:]))
    return Question(tuple(texts), tuple(mentions))


def write_context(passage: Passage, spans: Sequence[HiddenSpan]) -> tuple[str, str, tuple[Bounds, ...]]:
    """Return title and passage with each mention written as `MASK`, and the bounds of the spans in it, which stay."""
    masks, pieces, bounds, at, length = [span.bounds for span in spans], list[str](), list[Bounds](), 0, 0
    for (start, end), mask in _list_hidden(masks, _list_places(spans, -1)):
        pieces += [passage.text[at:start], passage.text[start:end] if mask is None else MASK]
        length += sum(map(len, pieces[-2:]))
        if mask is None:
            bounds.append((length - (end - start), length))
        at = end
    title = REPEAT.sub(MASK, hide_question(passage, spans).texts[0])
    return title, "".join((*pieces, passage.text[at:])), tuple(bounds)


def _list_places(spans: Sequence[HiddenSpan], number: int) -> list[tuple[Bounds, ...]]:
    """Return the mentions of each span in a text."""
    return [span.places[number] if span.places else () for span in spans]


def hide_span(passage: Passage, span: Span, mentions: bool) -> HiddenSpan:
    """Return a span, with its mentions if those are hidden too."""
    bounds = span.start, span.end
    return HiddenSpan(bounds, find_mentions(passage, bounds, span.forms, span.label) if mentions else ())


def _list_hidden(masks: Sequence[Bounds], places: Sequence[Sequence[Bounds]]) -> Iterator[tuple[Bounds, int | None]]:
    """Yield what is hidden in a text, in order: masks with None, mentions with the number of theirs."""
    found = ((place, mask) for mask, held in enumerate(places) for place in held)
    kept = [(place, mask) for place, mask in found if not any(_overlap(place, other) for other in masks)]
    at = 0
    for place, mask in sorted(chain(((place, None) for place in masks), kept), key=lambda one: (one[0][0], -one[0][1])):
        if place[0] >= at:
            yield place, mask
            at = place[1]


def blank_mentions(passage: Passage, places: Places) -> Passage:
    """Write spaces over mentions, so that offsets stay."""
    texts = list(list_texts(passage))
    for number, held in enumerate(places):
        for start, end in held:
            texts[number] = texts[number][:start] + " " * (end - start) + texts[number][end:]
    title, *section, text = texts
    return passage.model_copy(update={"title": title, "section": tuple(section), "text": text})
