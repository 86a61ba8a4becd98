"""View of a conversation as tokens, coloured by kind and loss, as a self-contained page.

Guarantees: external text is escaped by the template engine and control characters in it are written out; the page loads
nothing; the same row gives the same bytes.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.rendering.token_masks import IGNORED, MaskError, TokenRow, TokenRun
from pipeline.report.text_pieces import show_controls
from schemas.renderings import SegmentKind

TEMPLATES = files("pipeline.exporting") / "templates"
BROKEN = "\ufffd"
LONGEST_CHARACTER = 4
"""Maximum bytes of a character, and so its maximum tokens."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Token, or the tokens of one character."""

    text: str
    """Text of the cell."""
    kind: SegmentKind
    """Kind of the text."""
    trained: bool
    """Whether it carries loss."""


@dataclass(frozen=True, slots=True)
class KindCount:
    """Number of tokens of one kind."""

    kind: SegmentKind
    trained: int
    untrained: int


@dataclass(frozen=True, slots=True)
class MaskPage:
    """View of one row."""

    name: str
    """Name of the row."""
    cells: tuple[Cell, ...]
    """Text in pieces."""
    counts: tuple[KindCount, ...]
    """Tokens by kind."""
    whole: int | None
    """Index of the first token that differs from tokenising the whole text; None without a difference."""

    @property
    def tokens(self) -> int:
        """Return the number of tokens."""
        return sum(count.trained + count.untrained for count in self.counts)

    @property
    def trained(self) -> int:
        """Return the number of tokens with loss."""
        return sum(count.trained for count in self.counts)


def view_row(name: str, row: TokenRow, tokenizer: Any) -> MaskPage:
    """Make the view of a row."""
    cells: list[Cell] = []
    at = 0
    for run in row.runs:
        ids = row.input_ids[at : at + run.length]
        cells += [Cell(text, run.kind, run.trained) for text in _decode_pieces(ids, tokenizer)]
        at += run.length
    counts = [
        KindCount(
            kind,
            sum(run.length for run in row.runs if run.kind is kind and run.trained),
            sum(run.length for run in row.runs if run.kind is kind and not run.trained),
        )
        for kind in SegmentKind
    ]
    text = tokenizer.decode(row.input_ids, clean_up_tokenization_spaces=False)
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    same = zip(row.input_ids, whole, strict=False)
    first = next((n for n, (ours, theirs) in enumerate(same) if ours != theirs), None)
    return MaskPage(name, tuple(cells), tuple(count for count in counts if count.trained or count.untrained), first)


def read_row(input_ids: Sequence[int], labels: Sequence[int], token_spans: Sequence[Sequence[Any]]) -> TokenRow:
    """Read an exported row. Raises MaskError when its columns contradict each other."""
    row = TokenRow(list(input_ids), [TokenRun(SegmentKind(kind), on, length) for kind, on, length in token_spans])
    if len(row.kinds) != len(row.input_ids) or len(labels) != len(row.input_ids):
        raise MaskError(
            "lengths_differ", f"{len(row.input_ids)} tokens, {len(labels)} labels, {len(row.kinds)} in spans"
        )
    # What the trainer will see is the labels: the spans only name what they lie on.
    trained = [label != IGNORED for label in labels]
    runs = [TokenRun(kind, on, len(list(some))) for (kind, on), some in groupby(zip(row.kinds, trained, strict=True))]
    return TokenRow(row.input_ids, runs)


def build_page(views: Sequence[MaskPage], title: str) -> str:
    """Return one HTML document for these rows."""
    environment = Environment(
        loader=PackageLoader("pipeline.exporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = show_controls
    style = (TEMPLATES / "mask.css").read_text("utf-8")
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("mask.html").render(
        title=title,
        views=[(view, [(key, list(some)) for key, some in _group(view.cells)]) for view in views],
        style=Markup(style),  # noqa: S704  # our own file, not outside text
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    )


def _group(cells: Sequence[Cell]) -> Iterator[tuple[tuple[SegmentKind, bool], Iterator[Cell]]]:
    return groupby(cells, key=lambda cell: (cell.kind, cell.trained))


def _decode_pieces(ids: Sequence[int], tokenizer: Any) -> Iterator[str]:
    """Return the texts of tokens; tokens of parts of one character are one piece."""
    waiting: list[int] = []
    for token in ids:
        waiting.append(token)
        text = tokenizer.decode(waiting, clean_up_tokenization_spaces=False)
        if not text.endswith(BROKEN) or len(waiting) == LONGEST_CHARACTER:
            yield text
            waiting = []
    if waiting:
        yield tokenizer.decode(waiting, clean_up_tokenization_spaces=False)
