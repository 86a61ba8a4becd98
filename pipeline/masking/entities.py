"""Named entities: by a spaCy pipeline in its language, by jieba's tagger in Chinese.

Only names are used. Dates and numbers of a recogniser ("his last years", "one") are left to the rules, which are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

from pipeline.errors import AssetError
from pipeline.masking.candidates import SpanCandidate
from pipeline.text.chinese_words import open_jieba
from schemas.tasks import SpanKind, SpanSource

if TYPE_CHECKING:
    from spacy.language import Language

NAME_LABELS = frozenset(
    {"PERSON", "PER", "NORP", "FAC", "ORG", "GPE", "LOC", "PRODUCT", "EVENT", "WORK_OF_ART", "LAW", "LANGUAGE", "MISC"}
)
"""Labels of names in spaCy's OntoNotes and WikiNER pipelines."""

NEEDED = {"ner", "tok2vec", "transformer"}
JIEBA_LABELS = {"nr": "PERSON", "nrfg": "PERSON", "nrt": "PERSON", "ns": "GPE", "nt": "ORG", "nz": "MISC"}
SHORT_LABELS = frozenset({"GPE", "ORG"})
"""Labels of names that may have two characters. The dictionary calls most words of two characters that begin with a
surname persons ("陆军", army), and many common ones proper nouns."""
INSTITUTIONS = {"大学", "学院", "公司", "银行", "医院", "博物馆", "车站", "机场"}
FEATURES = frozenset("路街桥寺庙宫塔山河江湖岛岭")
"""Characters that end the name of a place: one after a name is part of it."""
BEFORE_NAMES = frozenset("今原旧前各该")
"""Nouns and adjectives of one character that may stand before a name without being part of it."""
PIECE_FLAGS = ("n", "a", "g", "j", "b", "z")
"""First letters of jieba's flags of nouns, adjectives and morphemes: one character of these before a name is a piece of
a longer name that the dictionary lacks ("列支敦斯登")."""
DOTS = frozenset("·・‧")
SHORTEST = 3
"""Characters of the shortest name of another label."""
CONTINUING = DOTS | FEATURES
BATCH = 128


def load_ner(name_or_path: str) -> Language:
    """Load a spaCy pipeline with only the components that its recogniser needs.

    Raises AssetError when it is not installed, is not a spaCy pipeline, or has no recogniser.
    """
    import spacy

    fix = "run `rampforge assets get en_core_web_sm`, or set masking.ner to an installed pipeline or to null"
    try:
        nlp = spacy.load(name_or_path)
    except (OSError, ValueError) as error:
        what = str(error).strip().split("\n", 1)[0]
        raise AssetError(f"cannot load the spaCy pipeline {name_or_path}: {what}", fix) from error
    if "ner" not in nlp.pipe_names:
        raise AssetError(f"the spaCy pipeline {name_or_path} has no named entity recogniser", fix)
    for pipe in nlp.component_names:
        if pipe not in NEEDED:
            nlp.remove_pipe(pipe)
    return nlp


def find_entities(nlp: Language, texts: Iterable[str]) -> Iterator[list[SpanCandidate]]:
    """Return the names in each text, in the order of the texts."""
    for doc in nlp.pipe(texts, batch_size=BATCH):
        names = (entity for entity in doc.ents if entity.label_ in NAME_LABELS)
        yield [SpanCandidate(n.start_char, n.end_char, SpanKind.ENTITY, n.label_, SpanSource.NER) for n in names]


def find_chinese_names(texts: Iterable[str]) -> Iterator[list[SpanCandidate]]:
    """Return persons, locations, institutions and other proper nouns by jieba's tagger; adjacent words of one name are
    joined.

    jieba finds words, not names: "北京" and "大学" are two words of one institution, so a name and the noun of an
    institution after it are one name, as are a place and the institution after it. Its dictionary is in simplified
    characters, so the text is folded first, and only words of the dictionary count: guesses of the tagger for other
    words are rarely names. Where the segmenter guesses a longer word around a name's edge, or a dot joins it to a word
    that is no name, the name is part of one that the dictionary lacks.
    """
    open_jieba()
    import jieba.posseg
    from opencc import OpenCC

    fold = OpenCC("t2s").convert
    for text in texts:
        folded = fold(text)
        known = folded if len(folded) == len(text) else text  # offsets must hold
        names = _join_places(_join_words([(pair.word, pair.flag) for pair in jieba.posseg.cut(known, HMM=False)]))
        edges = {0, *accumulate(map(len, jieba.cut(known, HMM=True)))}
        whole = (name for name in names if {name.start, name.end} <= edges and not _is_short(name))
        yield [
            name
            for name in whole
            if DOTS.isdisjoint((text[name.start - 1 : name.start], text[name.end : name.end + 1]))
        ]


def _join_places(names: Iterable[SpanCandidate]) -> list[SpanCandidate]:
    """Join each institution to the place right before it."""
    joined: list[SpanCandidate] = []
    for name in names:
        if joined and name.label == "ORG" and (joined[-1].label, joined[-1].end) == ("GPE", name.start):
            name = replace(name, start=joined.pop().start)
        joined.append(name)
    return joined


def _is_short(name: SpanCandidate) -> bool:
    return name.end - name.start < SHORTEST and name.label not in SHORT_LABELS


def _join_words(words: Sequence[tuple[str, str]]) -> list[SpanCandidate]:
    found: list[SpanCandidate] = []
    start = 0
    dotted = piece = False
    for word, flag in words:
        end = start + len(word)
        label = JIEBA_LABELS.get(flag)
        last = found[-1] if found and found[-1].end == start else None
        if last and (dotted or word in INSTITUTIONS or label == last.label):
            label = "ORG" if word in INSTITUTIONS else last.label
            found[-1] = SpanCandidate(last.start, end, SpanKind.ENTITY, label, SpanSource.NER)
        elif last and word in CONTINUING:
            found[-1] = SpanCandidate(last.start, end, SpanKind.ENTITY, last.label, SpanSource.NER)
        elif label and len(word) > 1 and not piece:
            found.append(SpanCandidate(start, end, SpanKind.ENTITY, label, SpanSource.NER))
        dotted = word in DOTS
        piece = len(word) == 1 and flag.startswith(PIECE_FLAGS) and word not in BEFORE_NAMES
        start = end
    return found
