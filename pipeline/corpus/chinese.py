"""What only Chinese wikis have: text in several variants at once."""

from __future__ import annotations

import re

from pipeline.corpus.marks import GAP

VARIANT = re.compile(r"-\{([^{}]*)\}-")
FLAGS = re.compile(r"\s*([A-Za-z;-]+)\s*\|")
PREFERRED = ("zh-hans", "zh-cn", "zh", "zh-hant", "zh-tw", "zh-hk", "zh-sg", "zh-mo", "zh-my")


def resolve_variants(text: str) -> str:
    """Keep one of the variants in -{zh-hans:...;zh-hant:...}-, the simplified one where there is one."""
    return VARIANT.sub(_choose, text) if "-{" in text else text


def _choose(found: re.Match[str]) -> str:
    inside = found[1]
    flags = FLAGS.match(inside)
    if flags:
        # Of the flags only A shows the text it sets a rule for; T, H, D, - and R-for-raw are rules or raw text.
        inside = inside[flags.end() :]
        codes = flags[1].upper()
        if "A" not in codes and "R" not in codes and not codes.startswith("ZH"):
            return GAP
    variants: dict[str, str] = {}
    for rule in inside.split(";"):
        code, colon, words = rule.rpartition("=>")[2].partition(":")
        if colon and code.strip().lower().startswith("zh"):
            variants[code.strip().lower()] = words.strip()
    return next((variants[code] for code in PREFERRED if code in variants), inside)
