"""Renderer of templates, links and tables; paragraphs, headings and lists remain markup.

Guarantees: every visible wikilink is marked in the text (see `marks`); content that cannot be rendered leaves a hole;
nothing is evaluated that depends on the day or on other pages; deep nesting uses no stack.
"""

from __future__ import annotations

import re

from pipeline.corpus.chinese import FLAGS, choose_variant
from pipeline.corpus.wikitext.brackets import Brackets
from pipeline.corpus.wikitext.inline_templates import find_rule
from pipeline.corpus.wikitext.links import apply_pipe_trick, is_invisible, normalise_title, split_namespace, split_url
from pipeline.corpus.wikitext.marks import GAP, LINK_END, LINK_LIMIT, LINK_MARK, LINK_START
from pipeline.corpus.wikitext.quotes import strip_quotes
from pipeline.corpus.wikitext.template_calls import APART, BLANK, SILENT, TemplateCall, normalise_name
from schemas.documents import HOLE

MAX_DEPTH = 20
FUNCTIONS = frozenset(["formatnum", "lc", "uc", "lcfirst", "ucfirst", "#tag", "defaultsort", "displaytitle"])
TRAILS = {"en": re.compile(r"[a-z]+"), "zh": re.compile(r"(?!)"), "ja": re.compile(r"(?!)"), "ko": re.compile(r"(?!)")}
ANY_TRAIL = re.compile(r"[^\W\d_]+")
NUMBERED = re.compile(r"[1-9]\d?$")
INDENT = f" \t:*#;{GAP}"
LOOSE = f"&;<>[]{{}}{GAP}"
GOES_ON = re.compile(r" *[a-z,.;:)]")


class Renderer:
    """Renderer of one page."""

    def __init__(self, text: str, title: str, lang: str) -> None:
        self.title = title
        self.lang = lang
        self.targets: list[str] = []
        """Targets of the links marked so far; the mark is `LINK_START` plus the index here."""
        self.has_loose_links = False
        """Whether a link may turn out to start or end with a space, once tags and entities are removed."""
        self.unrendered: list[str] = []
        """Names of the templates that left a hole."""
        self._text = text
        self._brackets = Brackets(text, variants=lang.startswith("zh"))
        self._trail = TRAILS.get(lang.partition("-")[0], ANY_TRAIL)
        self._own_title = normalise_title(title)

    def render(self, start: int = 0, end: int | None = None, depth: int = 0) -> str:
        """Render the text of [start, end)."""
        text, ends = self._text, self._brackets.ends
        end = len(text) if end is None else end
        children = self._brackets.children(start, end)
        if children and depth >= MAX_DEPTH:
            return HOLE
        pieces, position = [], start
        opens = depth == 0
        """Whether the line shows nothing yet."""
        for child in children:
            if child < position:  # impossible: inside the trail of the preceding link
                continue
            before = text[position:child]
            pieces.append(before)
            close = ends[child]
            position = close + 2
            kind = text[child : child + 2]
            if kind == "{{":
                if rest := before.rstrip(INDENT):
                    opens = rest.endswith("\n")
                shown = self._render_template(child, close, depth, opens)
                opens = opens and not shown.strip(BLANK)
                pieces.append(shown)
                continue
            opens = False
            if kind == "[[":
                trail = self._trail.match(text, position, end)
                pieces.append(self._render_link(child + 2, close, trail[0] if trail else "", depth))
                position = trail.end() if trail else position
            elif kind == "-{":
                pieces.append(self._render_variant(child + 2, close, depth))
            else:
                pieces.append(GAP)
        pieces.append(text[position:end])
        return "".join(pieces)

    def mark_link(self, target: str, shown: str) -> str:
        """Return the text shown, marked as a link when it is a mention of an article."""
        title = normalise_title(target)
        inner = LINK_MARK.sub("", shown)
        bare = inner.strip()
        if not title or title == self._own_title or not bare or HOLE in bare or "\n" in bare:
            return inner
        if len(self.targets) >= LINK_LIMIT:
            return inner
        if bare[0] in LOOSE or bare[-1] in LOOSE or "//" in bare:
            self.has_loose_links = True
        self.targets.append(title)
        before, _, after = inner.partition(bare)
        return f"{before}{chr(LINK_START + len(self.targets) - 1)}{bare}{LINK_END}{after}"

    def _render_link(self, start: int, end: int, trail: str, depth: int) -> str:
        bar = self._text.find("|", start, end)
        target = self._text[start : bar if bar >= 0 else end]
        label: str | None = None
        if "{" in target:
            parts = self._brackets.split(start, end)
            target = self.render(*parts[0], depth + 1)
            bar = parts[1][0] - 1 if len(parts) > 1 else -1
            if "|" in target:  # of {{!}}
                target, _, label = target.partition("|")
        if bar >= 0:
            label = self.render(bar + 1, end, depth + 1)
        return self._show_link(target, label, trail)

    def _show_link(self, target: str, label: str | None, trail: str) -> str:
        if "//" in target or "mailto:" in target:
            url, words = split_url(target)
            if url:
                return (label or words or GAP) + trail
        namespace, _ = split_namespace(target.lstrip(": "))
        if namespace and not target.lstrip().startswith(":") and is_invisible(namespace):
            return GAP + trail
        shown = target.strip().removeprefix(":").replace("_", " ") if label is None else label
        if not shown.strip():
            shown = apply_pipe_trick(target)
        if "''" in shown:  # resolved apart from those of the line around the link
            shown = strip_quotes(shown)
        if namespace or target.startswith("#"):
            return LINK_MARK.sub("", shown) + trail
        return self.mark_link(target, shown + trail)

    def _render_variant(self, start: int, end: int, depth: int) -> str:
        """Render -{zh-hans:...;zh-hant:...}- in the variant that is shown."""
        at = FLAGS.match(self._text, start, end)
        bounds = self._brackets.split(at.end() if at else start, end, ";")
        part = choose_variant(self._text, at[1] if at else "", bounds)
        return part if isinstance(part, str) else self.render(*part, depth + 1).strip()

    def _render_template(self, start: int, end: int, depth: int, opens: bool) -> str:
        text = self._text
        name_end = min((at for mark in ("|", "{{") if (at := text.find(mark, start + 2, end)) >= 0), default=end)
        name = normalise_name(text[start + 2 : name_end].replace(GAP, ""))
        function, colon, _ = name.partition(":")
        argument_start = name_end + 1
        if colon and (function := function.lower()) in FUNCTIONS:
            name = name if function == "#tag" else function
            argument_start = text.index(":", start) + 1
        rule = find_rule(name)
        if rule is SILENT:
            return GAP
        if rule is None:
            # A block beside or between the paragraphs, unless a sentence starts with it.
            if opens and "\n" in text[start:end] and not GOES_ON.match(text, end + 2):
                return GAP
        else:
            has_arguments = argument_start <= end and (name_end < end or argument_start < name_end)
            call = self._read_call(name, argument_start, end, depth) if has_arguments else self._call(name, [], {})
            if rule is APART and (opens or not call.has_words()):
                return GAP
            if rule is not APART and (shown := rule.apply(call)) is not None:
                return shown
        self.unrendered.append(name)
        return HOLE

    def _read_call(self, name: str, start: int, end: int, depth: int) -> TemplateCall:
        args: list[str] = []
        named: dict[str, str] = {}
        for part_start, part_end in self._brackets.split(start, end):
            nested = self._text.find("{{", part_start, part_end)
            equals = self._text.find("=", part_start, nested if nested >= 0 else part_end)
            key = self._text[part_start:equals].strip() if equals >= 0 else ""
            if equals < 0 or "[[" in key or "<" in key or "-{" in key:
                args.append(self.render(part_start, part_end, depth + 1).strip())
                continue
            value = self.render(equals + 1, part_end, depth + 1).strip()
            if NUMBERED.match(key):
                args += [""] * (int(key) - len(args))
                args[int(key) - 1] = value
            else:
                named[key.lower()] = value
        return self._call(name, args, named)

    def _call(self, name: str, args: list[str], named: dict[str, str]) -> TemplateCall:
        return TemplateCall(name, args, named, self.lang, self.title, self.mark_link)
