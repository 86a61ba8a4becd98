"""Comments and tags of wikitext: what is opaque goes out before anything else looks at the markup, styling goes last.

Promises: time is linear in the markup, also when thousands of tags never end.
"""

from __future__ import annotations

import re

from pipeline.corpus.marks import GAP, LINK_MARK, protect
from schemas.documents import HOLE

INVISIBLE_TAGS = (
    "ref|references|gallery|timeline|imagemap|graph|mapframe|maplink|templatestyles|indicator|inputbox|score|section|"
    "categorytree|table"
)
VISIBLE_TAGS = "math|chem|ce|hiero|syntaxhighlight|source|pre"
OPAQUE = re.compile(rf"<({INVISIBLE_TAGS}|{VISIBLE_TAGS}|nowiki)\b([^<>]*)>", re.IGNORECASE)
MARKUP = re.compile(r"\{\{|\[\[|\]\]|\}\}|<")
STRAY_REF = re.compile(r"</?ref(?:erences)?\b[^<>\n]*>?", re.IGNORECASE)

HIDDEN = re.compile(r"<(span|div)\b[^<>]*display:\s*none[^<>]*>[^<>]*</\1\s*>", re.IGNORECASE)
LOWERED = re.compile(r"<sub\b[^<>]*>([^<>\n]{0,80})</sub\s*>", re.IGNORECASE)
RAISED = re.compile(r"<sup\b[^<>]*>([^<>\n]{0,80})</sup\s*>", re.IGNORECASE)
BREAKING = re.compile(r"</?(?:blockquote|p|div|li|ul|ol|dl|dd|dt|center|poem|hr|h[1-6])\b[^<>\n]*>", re.IGNORECASE)
LINE_BREAK = re.compile(r"<[\\/]?br\b[^<>\n]*>", re.IGNORECASE)
STYLING = re.compile(
    r"</?(?:abbr|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|includeonly|ins|kbd|mark|noinclude|nowiki|onlyinclude|q|"
    r"rb|rp|rt|ruby|s|samp|small|span|strike|strong|sub|sup|table|tbody|td|th|thead|time|tr|tt|u|var|wbr|gallery|math|"
    r"pre|source|syntaxhighlight|timeline)\b[^<>\n]*>",
    re.IGNORECASE,
)
QUOTES = re.compile("''+")  # not '{2,}: with a literal to look for, the search is ten times faster


def strip_comments(text: str) -> str:
    """Drop comments, and the whole line where a line holds nothing else; one that never ends hides the rest."""
    if "<!--" not in text:
        return text
    pieces: list[str] = []
    position = 0
    while (start := text.find("<!--", position)) >= 0:
        before = text[position:start]
        end = text.find("-->", start)
        position = len(text) if end < 0 else end + 3
        line_end = text.find("\n", position)
        alone = before.rstrip(" \t").endswith("\n") or (not pieces and not before.strip())
        if alone and line_end >= 0 and not text[position:line_end].strip(" \t"):
            position = line_end + 1
        pieces.append(before)
    return "".join([*pieces, text[position:]])


def strip_opaque(text: str) -> str:
    """Take out the tags whose insides are not wikitext: a gap for references and pictures, a hole for formulas."""
    pieces: list[str] = []
    position = 0
    endless: set[str] = set()
    while found := OPAQUE.search(text, position):
        name = found[1].lower()
        pieces.append(text[position : found.start()])
        position = found.end()
        if found[2].rstrip().endswith("/"):
            pieces.append(_replace(name, ""))
            continue
        close = None if name in endless else re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, position)
        if close:
            pieces.append(_replace(name, text[position : close.start()]))
            position = close.end()
        elif name == "ref":
            # Nobody can tell where it was meant to end: give up the rest of the line.
            line_end = text.find("\n", position)
            position = line_end if line_end >= 0 else len(text)
            pieces.append(HOLE)
        if not close:
            endless.add(name)
    return STRAY_REF.sub(GAP, "".join([*pieces, text[position:]]))


def _replace(name: str, inside: str) -> str:
    if name == "nowiki":
        return HOLE if MARKUP.search(inside) else protect(inside)
    return HOLE if name in VISIBLE_TAGS.split("|") else GAP


def strip_styling(text: str) -> str:
    """Take out the tags and quotes that style words; a raised or lowered number stays apart from the number before."""
    text = QUOTES.sub(lambda run: "'" if len(run[0]) == 4 or len(run[0]) > 5 else "", text)
    if "<" not in text:
        return text
    # One after the other, so that what stands before a raised number is seen without its own tag.
    text = LOWERED.sub(lambda found: set_apart(_look_back(found), found[1].strip(), "_"), HIDDEN.sub("", text))
    text = RAISED.sub(lambda found: set_apart(_look_back(found), found[1].strip(), "^"), text)
    return STYLING.sub("", BREAKING.sub("\n", LINE_BREAK.sub(" ", text)))


def _look_back(found: re.Match[str]) -> str:
    """The character shown before a match; empty at the start."""
    at = found.start() - 1
    while at >= 0 and LINK_MARK.match(found.string, at):
        at -= 1
    return found.string[at] if at >= 0 else ""


def set_apart(before: str, inside: str, mark: str) -> str:
    """What a raised (mark ^) or lowered (mark _) text reads as, after the character `before` it.

    Squares and cubes of units are written as such; after a digit a number needs its mark, or 10<sup>24</sup> were 1024.
    """
    if mark == "^" and inside in ("2", "3") and before.isalpha():
        return "²" if inside == "2" else "³"
    number = inside[:1].isdigit() or (inside[:1] in "+-−" and inside[1:2].isdigit())
    return mark + inside if number and (before.isdigit() or (mark == "^" and before.isalpha())) else inside
