"""Files of codes: what one rater wrote about the masks of a queue, one JSON object a line.

    {"mask": "1f0c...:79-96", "needs": "search", "fillings": "one", "unit": "good", "aliases": "wrong",
     "alias_codes": {"Batavia": "ok", "Batavia (moth)": "wrong"}}

`mask` is the name in the queue, `alias_codes` names each alias of the mask and is left out where it has none. The codes
are those of `schemas.mask_labels`.
"""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.labelling.lines import parse_line, read_lines, refuse_line
from pipeline.labelling.queue import QueuedMask, Select, find_masks
from schemas.mask_labels import RATER, RATER_CHARS, AliasesCode, FillingsCode, MaskCodes, MaskLabel

FORM = "`rampforge labels sample --help` shows the form"


class NamedCodes(MaskCodes):
    """Codes of a mask that is named."""

    mask: str
    """The mask's name."""
    fillings: FillingsCode
    """How many answers are right."""
    aliases: AliasesCode
    """Whether its aliases are right."""


def read_codes(path: Path, select: Select, rater: str, at: str) -> list[MaskLabel]:
    """Return the labels in a file of codes. Raises ConfigError for a line that fits no mask, StorageError.

    `rater`: a name, without its outer space.
    """
    rater = _read_name(rater)
    rows = [(number, parse_line(path, number, line, NamedCodes, FORM)) for number, line in read_lines(path)]
    masks = find_masks(select, [codes.mask for _, codes in rows])
    labels: dict[str, MaskLabel] = {}
    for number, codes in rows:
        if codes.mask in labels:
            raise refuse_line(path, number, f"{codes.mask} was coded before", "code each mask once")
        try:
            labels[codes.mask] = _label(masks.get(codes.mask), codes, rater, at)
        except ConfigError as error:
            raise refuse_line(path, number, error.what, error.fix) from None
    if not labels:
        raise ConfigError(f"{path} holds no codes", FORM)
    return list(labels.values())


def _read_name(rater: str) -> str:
    name = rater.strip()
    if len(name) > RATER_CHARS or not re.fullmatch(RATER, name):
        raise ConfigError(
            f"{rater!r} cannot be the name of a rater", f"use one line of at most {RATER_CHARS} characters"
        )
    return name


def _label(queued: QueuedMask | None, codes: NamedCodes, rater: str, at: str) -> MaskLabel:
    if queued is None:
        raise ConfigError(f"the run has no mask {codes.mask[:80]!r}", "name masks as `rampforge labels sample` does")
    return queued.label(codes, rater, at)
