"""Comments and tags of wikitext: opaque ones are removed before the markup is parsed, styling is removed last.

Guarantees: linear time, also for thousands of unclosed or nested tags.
"""

from __future__ import annotations

import re

from pipeline.corpus.wikitext.marks import GAP, LINK_MARK, protect
from pipeline.corpus.wikitext.quotes import strip_quotes
from schemas.documents import HOLE

INVISIBLE_TAGS = (
    "ref|references|gallery|timeline|imagemap|graph|mapframe|maplink|templatestyles|indicator|inputbox|score|section|"
    "categorytree"
)
VISIBLE_TAGS = "math|chem|ce|hiero|syntaxhighlight|source|pre"
TRANSCLUSION_TAGS = "includeonly|/?noinclude|/?onlyinclude"
# Tags that may contain others of the same name: the end is the one of the same depth.
NESTED_TAGS = (
    "span|div|p|small|big|sup|sub|b|i|u|s|em|strong|font|center|blockquote|ul|ol|li|dl|dt|dd|tr|td|th|abbr|bdi|cite|"
    "code|del|ins|q|var"
)
OPAQUE = re.compile(
    rf"<(?:({INVISIBLE_TAGS}|{VISIBLE_TAGS}|nowiki|table|{TRANSCLUSION_TAGS})\b[^<>]*>"
    rf"|({NESTED_TAGS})\b[^<>]*(?:display\s*+:\s*+none|visibility\s*+:\s*+hidden)[^<>]*>)",
    re.IGNORECASE,
)
CLOSING = {
    name: re.compile(rf"</{name}\s*>", re.IGNORECASE)
    for name in (*INVISIBLE_TAGS.split("|"), *VISIBLE_TAGS.split("|"), "nowiki", "includeonly")
}
MARKUP = re.compile(r"\{\{|\[\[|\]\]|\}\}|<")
LINE_END = re.compile(r"[ \t]*+\n")
STRAY_REF = re.compile(r"</?ref(?:erences)?\b[^<>\n]*>?", re.IGNORECASE)

FRACTION = re.compile(
    r"<sup\b[^<>]*>\s?(\d{1,9})\s?</sup\s*>\s?([/⁄∕]|&frasl;)\s?<sub\b[^<>]*>\s?(\d{1,9})\s?</sub\s*>", re.IGNORECASE
)
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


def strip_comments(text: str) -> str:
    """Drop comments, and the whole line if it contains nothing else; an unclosed comment hides the rest."""
    if "<!--" not in text:
        return text
    pieces: list[str] = []
    position = 0
    while (start := text.find("<!--", position)) >= 0:
        before = text[position:start]
        end = text.find("-->", start + 4)
        position = len(text) if end < 0 else end + 3
        alone = before.rstrip(" \t").endswith("\n") or (not pieces and not before.strip())
        if alone and (line_end := LINE_END.match(text, position)):
            position = line_end.end()
        pieces.append(before)
    return "".join([*pieces, text[position:]])


def strip_opaque(text: str) -> str:
    """Remove tags whose content is not wikitext, or not visible, leaving a gap, or a hole for formulas."""
    pieces: list[str] = []
    position = 0
    endless: set[str] = set()
    pairs: dict[str, dict[int, tuple[int, int]]] = {}
    while found := OPAQUE.search(text, position):
        name = found[found.lastindex or 1].lower()
        opened = found.start()
        pieces.append(text[position:opened])
        position = found.end()
        if name.endswith("include"):
            continue
        if text[position - 2] == "/" or found[0][:-1].rstrip().endswith("/"):
            pieces.append(_replace(name, ""))
            continue
        if name == "table" or found.lastindex == 2:
            if name not in pairs:
                pairs[name] = _pair_tags(text, name, opened)
            bounds = pairs[name].get(opened)
        else:
            close = None if name in endless else CLOSING[name].search(text, position)
            bounds = close.span() if close else None
        if bounds:
            pieces.append(_replace(name, text[position : bounds[0]]))
            position = bounds[1]
            continue
        endless.add(name)
        if name == "ref":
            # The intended end is unknown: drop the rest of the line.
            line_end = text.find("\n", position)
            position = line_end if line_end >= 0 else len(text)
            pieces.append(HOLE)
        elif name == "includeonly":
            position = len(text)
    return STRAY_REF.sub(GAP, "".join([*pieces, text[position:]]))


def _pair_tags(text: str, name: str, start: int) -> dict[int, tuple[int, int]]:
    """Return the offset of each opening tag of a name -> bounds of the closing tag of the same depth."""
    pairs: dict[int, tuple[int, int]] = {}
    opened: list[int] = []
    for tag in re.compile(rf"<(/?){name}\b[^<>]*>", re.IGNORECASE).finditer(text, start):
        if not tag[1]:
            if not tag[0].endswith("/>"):
                opened.append(tag.start())
        elif opened:
            pairs[opened.pop()] = tag.span()
    return pairs


def _replace(name: str, inside: str) -> str:
    if name == "includeonly":
        return ""
    if name == "nowiki":
        return HOLE if MARKUP.search(inside) else protect(inside)
    return HOLE if name in VISIBLE_TAGS.split("|") else GAP


def strip_styling(text: str) -> str:
    """Remove the tags and quotes that style words; a raised or lowered number stays separate from
    the preceding number.
    """
    text = strip_quotes(text)
    if "<" not in text:
        return text
    text = FRACTION.sub(_write_fraction, text)
    # One after the other, so that the text before a raised number is seen without its own tag.
    text = LOWERED.sub(lambda found: set_apart(_look_back(found), found[1].strip(), "_"), text)
    text = RAISED.sub(lambda found: set_apart(_look_back(found), found[1].strip(), "^"), text)
    return STYLING.sub("", BREAKING.sub("\n", LINE_BREAK.sub(" ", text)))


def _write_fraction(found: re.Match[str]) -> str:
    """Write a fraction on one line, separate from a preceding whole number."""
    return f"{' ' if _look_back(found).isdecimal() else ''}{found[1]}{found[2]}{found[3]}"


def _look_back(found: re.Match[str]) -> str:
    """Return the visible character before a match; empty at the start."""
    at = found.start() - 1
    while at >= 0 and LINK_MARK.match(found.string, at):
        at -= 1
    return found.string[at] if at >= 0 else ""


def set_apart(before: str, inside: str, mark: str) -> str:
    """Write a raised (mark ^) or lowered (mark _) text after the character `before` it.

    Squares and cubes of units are written as such; after a digit a number needs its mark, since 10<sup>24</sup> would
    read 1024.
    """
    if mark == "^" and inside in ("2", "3") and before.isalpha():
        return "²" if inside == "2" else "³"
    number = inside[:1].isdigit() or (inside[:1] in "+-−" and inside[1:2].isdigit())
    return mark + inside if number and (before.isdigit() or (mark == "^" and before.isalpha())) else inside
