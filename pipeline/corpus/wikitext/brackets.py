"""Matching of brackets: {{templates}}, [[links]], {| tables |} and -{variants}-, in one pass over the markup.

Guarantees: linear time for any nesting, broken or deep; a pair never crosses another pair.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from pipeline.corpus.wikitext.links import split_url
from pipeline.corpus.wikitext.marks import protect

TOKEN = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{\||\|\}(?!\})")
TOKEN_OR_VARIANT = re.compile(rf"{TOKEN.pattern}|-\{{(?!\{{)|\}}-")
OPENER = {"}}": "{{", "]]": "[[", "|}": "{|", "}-": "-{"}
SINGLE = re.compile(r"\[(?<!\[\[)(?!\[)([^\[\]\n]*+)\](?=\]\])")
TABLE_INDENT = " \t:*#;"


class Brackets:
    """Matched pairs of a piece of markup."""

    def __init__(self, text: str, variants: bool = False) -> None:
        self.text = text
        self.ends = _match(text, TOKEN_OR_VARIANT if variants else TOKEN)
        """Offset of the opening bracket -> offset of the closing bracket."""
        self.starts = sorted(self.ends)

    def children(self, start: int, end: int) -> list[int]:
        """Return the offsets of the outermost pairs that open inside [start, end)."""
        found = []
        at = bisect_left(self.starts, start)
        while at < len(self.starts) and self.starts[at] < end:
            child = self.starts[at]
            found.append(child)
            at = bisect_left(self.starts, self.ends[child] + 2, lo=at)
        return found

    def split(self, start: int, end: int, separator: str = "|") -> list[tuple[int, int]]:
        """Split [start, end) at each separator outside the pairs within."""
        parts, last, position = [], start, start
        for child in [*self.children(start, end), end]:
            while (found := self.text.find(separator, position, child)) >= 0:
                parts.append((last, found))
                last = position = found + 1
            position = self.ends.get(child, end) + 2
        return [*parts, (last, end)]


def protect_single(text: str) -> str:
    """Protect single brackets that close just before those of a link, as in [[a|b [c]]], so that "c]]]" ends once."""
    return SINGLE.sub(_protect_inside, text) if "]]]" in text else text


def _protect_inside(found: re.Match[str]) -> str:
    url, words = split_url(found[1])
    return words if url else protect(f"[{found[1]}]")


def _match(text: str, token: re.Pattern[str]) -> dict[int, int]:
    ends: dict[int, int] = {}
    opened: list[str] = []
    starts: list[int] = []
    waiting = {"{{": 0, "[[": 0, "{|": 0, "-{": 0}
    for found in token.finditer(text):
        kind, at = found[0], found.start()
        if kind in ("{|", "|}") and not _opens_line(text, at):
            continue
        opener = OPENER.get(kind)
        if opener is None:
            opened.append(kind)
            starts.append(at)
            waiting[kind] += 1
        elif opener == "[[":
            # A link ends inside the template it began in, or not at all.
            if opened and opened[-1] == "[[":
                opened.pop()
                ends[starts.pop()] = at
                waiting["[["] -= 1
        elif waiting[opener]:
            # Anything still open inside never ends: it is not a bracket.
            while True:
                inner = opened.pop()
                start = starts.pop()
                waiting[inner] -= 1
                if inner == opener:
                    ends[start] = at
                    break
    return ends


def _opens_line(text: str, at: int) -> bool:
    while at > 0 and text[at - 1] in TABLE_INDENT:
        at -= 1
    return at == 0 or text[at - 1] == "\n"
