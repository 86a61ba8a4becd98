"""Labels of a run's masks: one file of JSON lines beside the run, one row for a rater and a mask.

Guarantees: the file is replaced atomically, so no earlier label is lost; a later label of a rater replaces the earlier
one of the same mask; a damaged file is an error and is never overwritten; no text of a passage is in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.labelling.lines import parse_line, read_lines
from pipeline.storage.files import lock_folder, write_atomically
from schemas.mask_labels import MaskLabel

FILE = "labels/masks.jsonl"
FORM = "schemas/mask_labels.py describes the form; move a damaged file away"


class LabelStore:
    """Labels of one run."""

    def __init__(self, run: Path) -> None:
        self.path = run / FILE

    def read(self) -> dict[tuple[str, str], MaskLabel]:
        """Labels by rater and mask, in the order of their first label. Raises ConfigError, StorageError."""
        return {(one.rater, one.mask): one for one in read_mask_labels(self.path)} if self.path.exists() else {}

    def save(self, labels: Iterable[MaskLabel]) -> int:
        """Add labels; return the number of those that replace an earlier one. Raises ConfigError, StorageError."""
        added = {(one.rater, one.mask): one for one in labels}
        with lock_folder(self.path.parent):
            known = self.read()
            content = "".join(f"{dump_label(one)}\n" for one in (known | added).values())
            write_atomically(self.path, content.encode())
        return len(known.keys() & added.keys())


def read_mask_labels(path: Path) -> list[MaskLabel]:
    """Return the labels of a file. Raises ConfigError for a line that is not one, StorageError."""
    return [parse_line(path, number, line, MaskLabel, FORM) for number, line in read_lines(path)]


def select_raters(labels: Iterable[MaskLabel], raters: Iterable[str]) -> list[MaskLabel]:
    """Return the labels of some raters, of all if none is named. Raises ConfigError for one without labels."""
    known, wanted = list(labels), set(raters)
    found = {one.rater for one in known}
    if missing := sorted(wanted - found):
        raise ConfigError(f"no labels of {missing[0]!r}", f"raters here: {', '.join(sorted(found)) or 'none'}")
    return [one for one in known if not wanted or one.rater in wanted]


def dump_label(label: MaskLabel) -> str:
    """Return a label as a line of a file."""
    return label.model_dump_json(exclude_defaults=True)
