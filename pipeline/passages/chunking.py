"""Chunker of pages into passages: whole sentences, packed greedily within one section up to a budget of tokens.

Guarantees: a passage is exactly `document.text[start:end]`, without space at either end; passages never overlap, never
cross a section, and omit nothing but rejected text; only a single sentence may exceed the budget, apart from a short
remainder (up to a quarter of the budget) that joins the preceding passage.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.passages.counting import count_tokens
from pipeline.passages.sentences import find_sentences
from schemas.config import PassagesConfig, StageName
from schemas.documents import Document, Link, Section
from schemas.funnel import Reject
from schemas.passages import Passage
from schemas.record import content_id

OVERFLOW = 1.25  # excess over the budget that a remainder may cause
SHOWN = 80  # characters of a rejected text shown in its reject row


@dataclass(slots=True)
class SentencePiece:
    """Stretch of a page in the making of passages."""

    start: int
    end: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Passages and rejects of a page."""

    passages: list[Passage]
    rejects: list[Reject]


def cut_document(document: Document, config: PassagesConfig) -> Cut:
    """Chunk a page; pieces below `min_tokens` that fit into no neighbour are rejected as `too_short`."""
    cut = Cut([], [])
    starts = [link.start for link in document.links]
    for section, end in _section_bounds(document):
        for piece in _join_remainders(_pack_sentences(document.text, section.start, end, config), config):
            _strip_piece(document.text, piece)
            if piece.tokens >= config.min_tokens:
                cut.passages.append(_make_passage(document, section, piece, starts))
            elif piece.start < piece.end:
                cut.rejects.append(_make_reject(document, piece))
    return cut


def _section_bounds(document: Document) -> Iterator[tuple[Section, int]]:
    ends = [section.start for section in document.sections[1:]] + [len(document.text)]
    return zip(document.sections, ends, strict=True)


def _pack_sentences(text: str, start: int, end: int, config: PassagesConfig) -> Iterator[SentencePiece]:
    piece = SentencePiece(start, start, 0)
    for first, last in find_sentences(text[start:end]):
        tokens = count_tokens(text[start + first : start + last])
        if piece.tokens and piece.tokens + tokens > config.max_tokens:
            yield piece
            piece = SentencePiece(start + first, start + first, 0)
        piece.end = start + last
        piece.tokens += tokens
        if 2 * piece.tokens >= config.max_tokens and text[piece.end - 1] == "\n":
            yield piece
            piece = SentencePiece(piece.end, piece.end, 0)
    if piece.start < piece.end:
        yield piece


def _join_remainders(pieces: Iterator[SentencePiece], config: PassagesConfig) -> list[SentencePiece]:
    joined: list[SentencePiece] = []
    for piece in pieces:
        short = piece.tokens < config.min_tokens
        if short and joined and joined[-1].tokens + piece.tokens <= OVERFLOW * config.max_tokens:
            joined[-1].end = piece.end
            joined[-1].tokens += piece.tokens
        else:
            joined.append(piece)
    return joined


def _strip_piece(text: str, piece: SentencePiece) -> None:
    inside = text[piece.start : piece.end]
    piece.start += len(inside) - len(inside.lstrip())
    piece.end = piece.start + len(inside.strip())


def _make_passage(document: Document, section: Section, piece: SentencePiece, starts: list[int]) -> Passage:
    inside = document.links[bisect_left(starts, piece.start) : bisect_left(starts, piece.end)]
    return Passage(
        passage_id=content_id(document.document_id, piece.start, piece.end),
        document_id=document.document_id,
        page_id=document.page_id,
        lang=document.lang,
        title=document.title,
        section=section.path,
        text=document.text[piece.start : piece.end],
        start=piece.start,
        end=piece.end,
        tokens=piece.tokens,
        links=tuple(
            Link(start=link.start - piece.start, end=link.end - piece.start, target=link.target)
            for link in inside
            if link.end <= piece.end
        ),
    )


def _make_reject(document: Document, piece: SentencePiece) -> Reject:
    shown = " ".join(document.text[piece.start : piece.end][:SHOWN].split())
    return Reject(
        stage=StageName.CHUNK,
        unit="passage",
        input_id=content_id(document.document_id, piece.start, piece.end),
        reason="too_short",
        detail=f"{document.title}: {piece.tokens} tokens: {shown}",
    )
