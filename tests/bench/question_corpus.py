"""The passages and questions of the shared data, as the benchmarks of search take them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import arrow_schema
from schemas.passages import Passage
from tests.support.places import SHARED


def read_lines(name: str) -> Iterator[dict[str, Any]]:
    """The objects of a gzipped file of lines; nothing when it is not there."""
    path = SHARED / name
    if path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def make_passage(number: int, passage_id: str, title: str, text: str, lang: str = "en") -> dict[str, Any]:
    """A passage that is a page by itself."""
    return Passage(
        passage_id=passage_id, document_id=passage_id, page_id=number, lang=lang, title=title, section=(), text=text,
        start=0, end=len(text), tokens=len(text.split()), links=(),
    ).model_dump(mode="json")  # fmt: skip


def write_shared_corpus(path: Path, name: str = "corpus.jsonl.gz", lang: str = "en") -> int:
    """Write the shared passages as one shard; how many there are."""
    rows = [
        make_passage(number, row["id"], row["title"], row["text"], lang) for number, row in enumerate(read_lines(name))
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(Passage)), path)
    return len(rows)


def read_questions() -> list[tuple[str, frozenset[str]]]:
    """Each question with the ids of the passages that support its answer."""
    return [(row["question"], frozenset(row["supporting_ids"])) for row in read_lines("qa_dev.jsonl.gz")]
