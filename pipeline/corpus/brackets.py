"""Which bracket closes which: {{templates}}, [[links]] and {| tables |}, in one pass over the markup.

Promises: time is linear in the markup, however deep or broken the nesting; a pair never crosses another pair.
"""

from __future__ import annotations

import re
from bisect import bisect_left

TOKEN = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{\||\|\}(?!\})")
OPENER = {"}}": "{{", "]]": "[[", "|}": "{|"}
TABLE_INDENT = " \t:*#;"


class Brackets:
    """The matched pairs of a piece of markup."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ends = _match(text)
        """Offset of the opening bracket -> offset of the bracket that closes it."""
        self.starts = sorted(self.ends)

    def children(self, start: int, end: int) -> list[int]:
        """Offsets of the outermost pairs that open inside [start, end)."""
        found = []
        at = bisect_left(self.starts, start)
        while at < len(self.starts) and self.starts[at] < end:
            child = self.starts[at]
            found.append(child)
            at = bisect_left(self.starts, self.ends[child] + 2, lo=at)
        return found

    def split(self, start: int, end: int, separator: str = "|") -> list[tuple[int, int]]:
        """Cut [start, end) at each separator that stands outside the pairs within."""
        parts, last, position = [], start, start
        for child in [*self.children(start, end), end]:
            while (found := self.text.find(separator, position, child)) >= 0:
                parts.append((last, found))
                last = position = found + 1
            position = self.ends.get(child, end) + 2
        return [*parts, (last, end)]


def _match(text: str) -> dict[int, int]:
    ends: dict[int, int] = {}
    stack: list[tuple[str, int]] = []
    waiting = {"{{": 0, "[[": 0, "{|": 0}
    for token in TOKEN.finditer(text):
        kind, at = token[0], token.start()
        if kind in ("{|", "|}") and not _opens_line(text, at):
            continue
        opener = OPENER.get(kind)
        if opener is None:
            stack.append((kind, at))
            waiting[kind] += 1
        elif opener == "[[":
            # A link ends inside the template it began in, or not at all.
            if stack and stack[-1][0] == "[[":
                ends[stack.pop()[1]] = at
                waiting["[["] -= 1
        elif waiting[opener]:
            # What is still open inside never ends: it is no bracket.
            while True:
                opened, start = stack.pop()
                waiting[opened] -= 1
                if opened == opener:
                    ends[start] = at
                    break
    return ends


def _opens_line(text: str, at: int) -> bool:
    while at > 0 and text[at - 1] in TABLE_INDENT:
        at -= 1
    return at == 0 or text[at - 1] == "\n"
