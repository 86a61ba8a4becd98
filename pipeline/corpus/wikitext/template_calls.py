"""Template calls, and rules that say how a call is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from pipeline.corpus.wikitext.marks import GAP

LONGEST_NAME = 255
"""Maximum characters of a template's name; longer names are never cached."""
NAME_SPACES = re.compile(r"[\s_]+")
NAME_PREFIX = re.compile(r"(?:template|subst|safesubst) ?: ?", re.IGNORECASE)
SEVERAL_WORDS = re.compile(r"[ \-/:]")
LETTER = re.compile(r"[^\W\d_]")
ANY = 1000
"""More arguments than any handler counts."""
BLANK = f" \n{GAP}"
SHOWN_BY_NAME = frozenset(
    ["text", "content", "contents", "prefix", "suffix", "pre", "post", "before", "after", "append", "extra", "end"]
)
"""Named arguments whose value is usually visible: a handler that ignores one of them has lost text."""


@lru_cache(maxsize=8192)
def _normalise_short(name: str) -> str:
    return _normalise(name)


def normalise_name(name: str) -> str:
    """Normalise a template's name as a key of the tables here.

    MediaWiki ignores the case of the first letter only: {{ins}} and {{INS}} are two templates. Names of several words
    are folded whole, because names that differ in case alone are redirects to one another.
    """
    return _normalise_short(name) if len(name) <= LONGEST_NAME else _normalise(name)


def _normalise(name: str) -> str:
    name = NAME_SPACES.sub(" ", name).strip()
    name = NAME_PREFIX.sub("", name, count=1) if ":" in name else name
    return name.lower() if SEVERAL_WORDS.search(name) else name[:1].lower() + name[1:]


@dataclass(slots=True)
class TemplateCall:
    """Template call with its arguments rendered and stripped."""

    name: str
    """The template's name as `normalise_name` writes it."""
    args: list[str]
    """Positional arguments, in order."""
    named: dict[str, str]
    """Named arguments."""
    lang: str
    """Language code of the wiki."""
    title: str
    """Title of the page the template stands on."""
    link: Callable[[str, str], str] = field(repr=False)
    """Function that makes a wikilink of a target and the text to show."""
    read: set[str] = field(default_factory=set)
    """Names of the arguments that `first` has read."""

    def arg(self, number: int) -> str:
        """Return the positional argument of that number, counted from 1; empty when there is none."""
        return self.args[number - 1] if 0 < number <= len(self.args) else ""

    def first(self, *names: str) -> str:
        """Return the first of these named arguments that is not empty."""
        self.read.update(names)
        return next((value for name in names if (value := self.named.get(name, ""))), "")

    def plain(self) -> list[str]:
        """Return the positional arguments without marks of invisible content and without empty ones."""
        return [value for arg in self.args if (value := arg.replace(GAP, "").strip())]

    def has_words(self) -> bool:
        """Return whether a positional argument, or a named one that is usually visible, contains a letter."""
        shown = (value for name, value in self.named.items() if name in SHOWN_BY_NAME)
        return any(LETTER.search(value) for value in (*self.args, *shown))

    def leaves_text(self) -> bool:
        """Return whether a named argument that is usually visible was not read."""
        return any(name in SHOWN_BY_NAME and value and name not in self.read for name, value in self.named.items())


Handler: TypeAlias = Callable[[TemplateCall], str | None]
"""Function that returns the text shown for a call, or None if it is unknown, which leaves a hole."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Handler of a template, and the number of positional arguments it accounts for."""

    show: Handler
    most: int = 1

    def apply(self, call: TemplateCall) -> str | None:
        """Return the text shown, or None if an argument would be lost: an unused one, or words of which nothing is
        shown.
        """
        if any(call.args[self.most :]):
            return None
        shown = self.show(call)
        if shown is None or (call.named and call.leaves_text()):
            return None
        return shown if shown.strip(BLANK) or shown.startswith(UNSHOWN) or not call.has_words() else None


UNSHOWN = GAP * 2
"""Result of a handler whose arguments show nothing."""


def show_nothing(_call: TemplateCall) -> str:
    """For content that is invisible in running text."""
    return GAP


SILENT = Rule(show_nothing, ANY)
"""Shows nothing in running text, whatever the arguments."""

APART = Rule(show_nothing, ANY)
"""Shown beside or between the paragraphs: a gap at the start of a line, a hole inside one."""

SPACING = Rule(lambda _call: f"{UNSHOWN} ", ANY)
"""Shows a space or a break, whatever the arguments."""
