"""Runs of apostrophes that mark italics and bold, resolved line by line as in MediaWiki.

If a line has an odd number of both marks, one of its bold marks was an apostrophe and an italic mark: the first one
after a word of one letter, else the first one after a longer word, else the first one after a space.
"""

from __future__ import annotations

import re

RUN = re.compile("(''+)")  # not '{2,}: with a literal to look for, the search is ten times faster


def strip_quotes(text: str) -> str:
    """Remove the marks of italics and bold, keeping apostrophes."""
    pieces: list[str] = []
    position = 0
    while (mark := text.find("''", position)) >= 0:
        start = text.rfind("\n", position, mark) + 1 or position
        end = text.find("\n", mark)
        end = len(text) if end < 0 else end
        pieces += (text[position:start], _resolve(text[start:end]))
        position = end
    return "".join([*pieces, text[position:]]) if pieces else text


def _resolve(line: str) -> str:
    rest = line.replace("'''", "")
    both_odd = line.count("'''") % 2 and rest.count("''") % 2
    # A run of four leaves its apostrophe, one of five its mark of italics.
    return _resolve_runs(line) if both_odd or "'" * 6 in line else rest.replace("''", "")


def _resolve_runs(line: str) -> str:
    parts = RUN.split(line)
    texts, sizes = parts[::2], [len(run) for run in parts[1::2]]
    bold = italic = 0
    for at, size in enumerate(sizes):
        if size == 4:
            texts[at] += "'"
        elif size > 5:
            texts[at] += "'"  # one for all of them: MediaWiki would show each
        bold += size != 2
        italic += size == 2 or size > 4
    if bold % 2 and italic % 2:
        _give_apostrophe(texts, sizes)
    return "".join(texts)


def _give_apostrophe(texts: list[str], sizes: list[int]) -> None:
    """Write the apostrophe of the split bold mark after the text before it."""
    after_word = after_space = -1
    for at, size in enumerate(sizes):
        if size not in (3, 4):
            continue
        before = texts[at]
        if before.endswith(" "):
            after_space = at if after_space < 0 else after_space
        elif before[-2:-1] == " ":
            after_word = at
            break
        elif after_word < 0:
            after_word = at
    chosen = after_word if after_word >= 0 else after_space
    if chosen >= 0 and not texts[chosen].endswith("'"):
        texts[chosen] += "'"
