"""Passages of an external corpus file: each object is a passage that is a page by itself.

Guarantees: the corpus's own ids are retained, so that a benchmark's supporting passages refer to them; a row without
text, or with a repeated id, is a reject with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.corpus.readers.rows import find_title_and_text
from pipeline.evaluation.benchmark_files import BrokenRow, read_rows
from schemas.funnel import Reject
from schemas.passages import Passage
from schemas.record import content_id

STAGE = "corpus-file"
ID_NAMES = ("id", "passage_id", "_id", "docid")


def read_passages(path: Path, lang: str) -> Iterator[Passage | Reject]:
    """The passages of a file of objects with `id`, `title` and `text` or synonyms. Raises SourceError."""
    seen: set[str] = set()
    for number, row in enumerate(read_rows(path)):
        if isinstance(row, BrokenRow):
            yield _reject(row.place, "not_readable", row.detail)
            continue
        fields = {name: str(value) for name, value in row.fields.items() if isinstance(value, str | int)}
        title, text = find_title_and_text(fields)
        text = text or ""
        passage_id = next((fields[name] for name in ID_NAMES if fields.get(name)), "") or content_id(title, text)
        if not text.strip():
            yield _reject(row.place, "no_text", f"fields: {', '.join(map(str, row.fields))}")
        elif passage_id in seen:
            yield _reject(row.place, "repeated", f"id {passage_id} stands before")
        else:
            seen.add(passage_id)
            yield _make_passage(passage_id, number, fields.get("lang") or lang, title, text)


def _make_passage(passage_id: str, number: int, lang: str, title: str, text: str) -> Passage:
    return Passage(
        passage_id=passage_id,
        document_id=passage_id,
        page_id=number,
        lang=lang,
        title=title,
        section=(),
        text=text,
        start=0,
        end=len(text),
        tokens=len(text.split()),
        links=(),
    )


def _reject(place: str, reason: str, detail: str) -> Reject:
    return Reject(stage=STAGE, unit="passage", input_id=place, reason=reason, detail=detail)
