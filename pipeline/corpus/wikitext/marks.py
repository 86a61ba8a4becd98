"""Marker characters used while wikitext is being cleaned, and their removal.

Links, gaps and the like travel inside the text itself, so that no step has to track offsets. All markers are characters
that Unicode reserves from text; `scrub` removes them from the input.
"""

from __future__ import annotations

import re

from schemas.documents import HOLE

GAP = "\ufdd0"
"""Position of invisible content: a reference, a file, a maintenance tag."""

LINK_END = "\ufdd1"
"""End of the link that a character from `LINK_START` on has opened."""

SPOKEN = "\ufdd2"
"""Position of a pronunciation: a gap inside brackets, a hole elsewhere."""

LINK_START = 0xF0000
LINK_LIMIT = 0x1FFFD
LITERAL = 0xE000
"""Base for an ASCII character c that must not be read as markup, encoded as chr(LITERAL + ord(c))."""

LINK_MARK = re.compile("[\ufdd1\U000f0000-\U0010fffd]")
LITERAL_MARK = re.compile("[\ue000-\ue07f]")
FOREIGN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U0010ffff]"
)
SPACE = re.compile("[\t\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f]")
GAP_RUN = re.compile(f"{GAP}(?: *{GAP})+")
SPACE_RUN = re.compile("  +")

OPENING = ("(", "[", "（", "［")
CLOSING = (")", "]", "）", "］")
PAUSES = " ,;:，；、："
STOPS = (".", ",", ";", ":", "!", "?", "%", "。", "，", "、", "；", "：", "！", "？", *CLOSING)
BRACKETED = re.compile(r"[(（][^()（）\n]*[)）]")
SPOKEN_LABEL = re.compile(
    rf"(?:(?:\b(?:pronounced|pronunciation|pronounciation|locally|also|IPA|UK|US|or|English)\b|发音|發音|讀音|读音)"
    rf"[:：]? ?|[,;] ?|{SPOKEN} ?){{0,12}}{SPOKEN}"
)
# A name that opens a line, its pronunciation, then the rest of the sentence: it reads as well without.
SPOKEN_IN_LEAD = re.compile(
    rf"(?m)^([^.\n{SPOKEN}]{{1,100}}){SPOKEN}(?=[ ,;{GAP}]*(?:[,(]|is |was |are |were |officially |or ))"
)
ANNOUNCES = re.compile(
    r"\b(?:pronounced|pronunciation|is|was|are|as|by|of|like|in|the|sound|vowel|consonant|phoneme)[: ]*$"
)


def scrub(text: str) -> str:
    """Drop what is not text, or is invisible: control and private characters, marks of direction, soft hyphens."""
    return FOREIGN.sub("", text)


def protect(text: str) -> str:
    """Encode ASCII punctuation so that it is not read as markup; `restore` reverses it."""
    return "".join(chr(LITERAL + ord(c)) if c < "\x7f" and not c.isalnum() and not c.isspace() else c for c in text)


def restore(text: str) -> str:
    """Reverse `protect`, character for character."""
    return LITERAL_MARK.sub(lambda mark: chr(ord(mark[0]) - LITERAL), text) if LITERAL_MARK.search(text) else text


def settle_spoken(text: str) -> str:
    """Turn each `SPOKEN` into a gap where a sentence is complete without it, else into a hole.

    That is the case in brackets (with the words that introduce it), and after the name that opens a paragraph.
    """
    if SPOKEN not in text:
        return text
    text = SPOKEN_IN_LEAD.sub(lambda found: found[0] if ANNOUNCES.search(found[1]) else found[1] + GAP, text)
    text = BRACKETED.sub(lambda found: SPOKEN_LABEL.sub(GAP, found[0]) if SPOKEN in found[0] else found[0], text)
    return text.replace(SPOKEN, HOLE)


def close_gaps(text: str) -> str:
    """Remove gaps with the spaces, pauses and brackets that they leave empty."""
    if GAP * 2 in text or f"{GAP} {GAP}" in text:
        # Gaps with nothing but a space between them are one, which keeps the time linear.
        text = GAP_RUN.sub(lambda run: f" {GAP}" if " " in run[0] else GAP, text)
    left, *rest = text.split(GAP)
    pieces: list[str] = []
    for right in rest:
        left, right = _join(left, right)
        if right.strip(" "):
            pieces.append(left)
            left = right
        else:
            left += right
    return "".join([*pieces, left])


def _join(left: str, right: str) -> tuple[str, str]:
    """Join the text to the left and right of a removed gap."""
    before, after = left.rstrip(PAUSES), right.lstrip(PAUSES)
    if before.endswith(OPENING):
        if after.startswith(CLOSING):
            return before[:-1].rstrip(" "), _spaced(before[:-1], after[1:])
        return before, after
    if after.startswith(CLOSING):
        return before, after
    before, after = left.rstrip(" "), right.lstrip(" ")
    if after.startswith((",", ";")):
        before = before.rstrip(" :：")
    if before.endswith((",", ";")) and after.startswith((",", ";")):
        after = after[1:]
    if (before == left and after == right) or after.startswith(STOPS) or not before or before.endswith("\n"):
        return before, after
    return before, " " + after


def _spaced(left: str, right: str) -> str:
    """Return the right side, with one space before it when empty brackets stood between two words."""
    right = right.lstrip(" ") if left.endswith(" ") else right
    return " " + right if left.endswith(" ") and right and not right.startswith((*STOPS, "\n")) else right
