"""Assembly of rendered lines to the text of a page, with its sections and the offsets of its links.

Guarantees: sections are sorted and start inside the text; links are sorted, never overlap, and
`text[link.start:link.end]` is the text that the link shows; no heading is in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.corpus.wikitext.marks import LINK_END, LINK_MARK, LINK_START
from schemas.documents import HOLE, LIST_MARK, Link, Section

LEFT_OUT = frozenset({
    "additional reading", "bibliography", "citations", "citations and notes", "cited references", "cited sources",
    "endnotes", "explanatory notes", "external link", "external links", "external links and references",
    "footnotes", "footnotes and references", "further reading", "further reading and external links",
    "general references", "literature", "note", "notes", "notes and citations", "notes and references",
    "notes and sources", "other sources", "primary sources", "reference", "references",
    "references and external links", "references and footnotes", "references and further reading",
    "references and notes", "references and sources", "secondary sources", "see also", "source", "sources",
    "sources and references", "suggested reading", "works cited", "书目", "來源", "備註", "参看", "参考",
    "参考书目", "参考文献", "参考文献与注释", "参考来源", "参考资料", "参考链接", "参见", "參看", "參考",
    "參考來源", "參考文獻", "參考書目", "參考資料", "參考資料與註釋", "參考連結", "參見", "另見", "另见", "备注",
    "外部連接", "外部連結", "外部鏈接", "外部链接", "外部链结", "延伸閱讀", "延伸阅读", "引注", "引用", "引用來源",
    "引用来源", "引註", "扩展阅读", "擴展閱讀", "書目", "来源", "注解", "注释", "注释与参考文献", "注釋",
    "相关条目", "相关链接", "相關條目", "相關連結", "脚注", "腳注", "腳註", "註解", "註釋", "註釋與參考文獻",
    "資料來源", "资料来源",
})  # fmt: skip
MARKS = ("", "*", "#", ":", ";", " ", "|", "-", "{")
HAS_WORD = re.compile(r"\w")
CJK_EDGE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
MAX_LEVEL = 6


@dataclass(frozen=True, slots=True)
class CleanPage:
    """Cleaned text of a page, with its sections and links."""

    text: str
    """As in `Document.text`."""
    sections: tuple[Section, ...]
    """As in `Document.sections`."""
    links: tuple[Link, ...]
    """As in `Document.links`."""
    unrendered: tuple[str, ...] = ()
    """Names of the templates that left a hole, once per hole, including blocks that were removed whole."""


def assemble(flat: str, targets: list[str], unrendered: list[str]) -> CleanPage:
    """Assemble the page from rendered lines; `targets` are those of the links marked in them."""
    pieces: list[str] = []
    sections: list[Section] = []
    links: list[Link] = []
    offset = 0
    for path, lines in split_sections(flat):
        divider = "\n\n" if sections else ""
        sections.append(Section(start=offset + len(divider), path=path))
        for line in lines:
            text, found = _take_links(line, targets, offset + len(divider))
            pieces += (divider, text)
            links += found
            offset += len(divider) + len(text)
            divider = "\n"
    return CleanPage("".join(pieces), tuple(sections), tuple(links), tuple(unrendered))


def split_sections(flat: str) -> list[tuple[tuple[str, ...], list[str]]]:
    """Return the lines of each kept section with content, and the headings above it.

    Lines of a paragraph are joined; list items start with `LIST_MARK`.
    """
    sections: list[tuple[tuple[str, ...], list[str]]] = [((), [])]
    headings: list[tuple[int, str]] = []
    paragraph: list[str] = []
    for line in flat.split("\n"):
        heading = _read_heading(line) if line.startswith("=") else None
        if heading is None and line[:1] not in MARKS and HAS_WORD.search(line):
            paragraph.append(line)
            continue
        sections[-1][1].extend(_join_lines(paragraph))
        paragraph = []
        if heading is not None:
            headings = [above for above in headings if above[0] < heading[0]] + [heading]
            sections.append((tuple(title for _, title in headings), []))
        elif shown := _read_marked_line(line):
            sections[-1][1].append(shown)
    sections[-1][1].extend(_join_lines(paragraph))
    return [(path, lines) for path, lines in sections if lines and not any(title.lower() in LEFT_OUT for title in path)]


def _read_heading(line: str) -> tuple[int, str] | None:
    line = LINK_MARK.sub("", line).replace(HOLE, "").strip()
    level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), MAX_LEVEL)
    title = " ".join(line[level:-level].split()) if level else ""
    return (level, title) if title.strip("= ") else None


def _join_lines(lines: list[str]) -> list[str]:
    """Join a paragraph into one line, or none when it has no content."""
    joined = ""
    for line in lines:
        close = not joined or (CJK_EDGE.match(joined[-1]) and CJK_EDGE.match(line))
        joined += line.strip() if close else f" {line.strip()}"
    return [joined] if joined else []


def _read_marked_line(line: str) -> str:
    """Read a line that starts with a mark: list item, indented text, table or rule; empty without content."""
    if line.startswith(("{|", "|")):
        return ""
    text = line.lstrip("*#:; ").rstrip()
    if line.startswith("----"):
        text = line.lstrip("-").rstrip()
    if not HAS_WORD.search(text):
        return ""
    marks = line[: len(line) - len(line.lstrip("*#:; "))]
    return LIST_MARK + text if any(mark in marks for mark in "*#;") else text


def _take_links(line: str, targets: list[str], base: int) -> tuple[str, list[Link]]:
    """Return a line without its link marks, and the links they marked, trimmed, with offsets counted from `base`."""
    pieces: list[str] = []
    links: list[Link] = []
    position = length = 0
    target: str | None = None
    for mark in LINK_MARK.finditer(line):
        piece = line[position : mark.start()]
        position = mark.end()
        if mark[0] != LINK_END:
            target = targets[ord(mark[0]) - LINK_START]
        elif target is not None:
            start, end = base + length + len(piece) - len(piece.lstrip()), base + length + len(piece.rstrip())
            if start < end:
                links.append(Link(start=start, end=end, target=target))
            target = None
        pieces.append(piece)
        length += len(piece)
    return "".join([*pieces, line[position:]]), links
