"""A corpus from outside as passages: each object is a passage that is a page by itself.

Promises: ids are the corpus's own, so that what a benchmark says of supporting passages holds; a row without text, or
with an id that came before, is a named reject.
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
    """The passages of a file of objects with `id`, `title` and `text`. Raises SourceError.

    `rows` says under which other names title and text may come.
    """
    seen: set[str] = set()
    for number, row in enumerate(read_rows(path)):
        if isinstance(row, BrokenRow):
            yield _reject(row.place, "not_readable", row.detail)
            continue
        fields = {name: str(value) for name, value in row.fields.items() if isinstance(value, str | int)}
        title, found = find_title_and_text(fields)
        text = found or ""
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
