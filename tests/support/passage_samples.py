"""Passages of made-up words, written as shards, for the tests of indexes and engines."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import arrow_schema
from schemas.documents import Link
from schemas.passages import Passage

_WORDS = """
river bridge stone tower king queen battle city north south harbour railway museum garden school market
"""
WORDS = _WORDS.split()


def make_passage(number: int, text: str, page: int, lang: str = "en", title: str | None = None) -> Passage:
    """A passage with one link."""
    return Passage(
        passage_id=f"p{number:04}", document_id=f"d{page}", page_id=page, lang=lang, title=title or f"Page {page}",
        section=(), text=text, start=0, end=len(text), tokens=len(text.split()),
        links=(Link(start=0, end=5, target="Somewhere"),),
    )  # fmt: skip


def draw_passages(count: int, seed: int = 0, longest: int = 30) -> list[Passage]:
    """Passages of words drawn at random, four to a page."""
    rng = random.Random(seed)
    return [make_passage(i, " ".join(rng.choices(WORDS, k=rng.randint(5, longest))), i // 4) for i in range(count)]


def write_shards(folder: Path, passages: Sequence[Passage], group: int = 1000) -> list[Path]:
    """Write passages with an even and with an odd place into two shards, in row groups of a size."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{i}.parquet" for i in range(2)]
    for path, half in zip(paths, (passages[::2], passages[1::2]), strict=True):
        table = pa.Table.from_pylist([p.model_dump() for p in half], schema=arrow_schema(Passage))
        pq.write_table(table, path, row_group_size=group)
    return paths


def read_tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
