"""Markup specific to Chinese wikis: text in several variants at once."""

from __future__ import annotations

import re
from typing import TypeAlias

from pipeline.corpus.wikitext.marks import GAP
from schemas.documents import HOLE

Bounds: TypeAlias = tuple[int, int]

PREFERRED = ("zh-hans", "zh-cn", "zh", "zh-hant", "zh-tw", "zh-hk", "zh-sg", "zh-mo", "zh-my")
FLAGS = re.compile(r"([A-Za-z;\s-]*+)\|")
"""Flags before the first bar of -{H|...}-."""
RULE = re.compile(r"\s*+(?:[^;]*?=>\s*+)?(zh(?:-[a-z]++)?)\s*+:", re.IGNORECASE)


def choose_variant(text: str, flags: str, parts: list[Bounds]) -> str | Bounds:
    """Return the text that -{...}- shows: the bounds of its text in the simplified variant (else the next one), or a
    text.

    `parts` are the bounds between the semicolons of the braces, `flags` the letters before their bar. A flag may hide
    the text (H, T, -), or show text that only MediaWiki can compute (D, N), which becomes a hole.
    """
    whole = (parts[0][0], parts[-1][1])
    known = {flag.strip() for flag in flags.split(";")} & {"A", "T", "R", "D", "-", "H", "N", *PREFERRED}
    if "R" in known:
        return whole
    if "N" in known:
        return HOLE
    if "-" in known:
        return GAP
    if "D" in known:
        return HOLE
    if "H" in known or known == {"T"}:
        return GAP
    variants = {} if known & set(PREFERRED) else _read_rules(text, parts)
    return next((variants[code] for code in PREFERRED if code in variants), whole)


def _read_rules(text: str, parts: list[Bounds]) -> dict[str, Bounds]:
    """Return the bounds of each variant, if any; a semicolon separates only before a variant's code and a colon."""
    variants: dict[str, Bounds] = {}
    code = ""
    for start, end in parts:
        rule = RULE.match(text, start, end)
        if rule and rule[1].lower() in PREFERRED:
            code = rule[1].lower()
            variants[code] = (rule.end(), end)
        elif code and (end < parts[-1][1] or text[start:end].strip()):
            variants[code] = (variants[code][0], end)
        elif not code and ":" in text[start:end]:
            return {}
    return variants
