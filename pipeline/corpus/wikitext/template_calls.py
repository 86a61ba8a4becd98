"""A use of a template, as handlers see it, and the handlers that need no more than its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from pipeline.corpus.wikitext.marks import GAP, protect

LONGEST_NAME = 255
"""Characters that a template's name may have; what is longer is never cached."""
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
"""Named arguments whose value is usually shown: a handler that ignores one of them has lost text."""


@lru_cache(maxsize=8192)
def _normalise_short(name: str) -> str:
    return _normalise(name)


def normalise_name(name: str) -> str:
    """A template's name as the tables here are keyed.

    MediaWiki frees the case of the first letter only: {{ins}} and {{INS}} are two templates. Names of several words are
    folded whole, as those that differ in case alone are redirects to one another.
    """
    return _normalise_short(name) if len(name) <= LONGEST_NAME else _normalise(name)


def _normalise(name: str) -> str:
    name = NAME_SPACES.sub(" ", name).strip()
    name = NAME_PREFIX.sub("", name, count=1) if ":" in name else name
    return name.lower() if SEVERAL_WORDS.search(name) else name[:1].lower() + name[1:]


@dataclass(slots=True)
class TemplateCall:
    """One use of a template, its arguments rendered and stripped."""

    name: str
    """The template's name as `normalise_name` writes it."""
    args: list[str]
    """The arguments without a name, in order."""
    named: dict[str, str]
    """The arguments with a name."""
    lang: str
    """Language code of the wiki."""
    title: str
    """Title of the page the template stands on."""
    link: Callable[[str, str], str] = field(repr=False)
    """Makes a wikilink of a target and the text to show."""
    read: set[str] = field(default_factory=set)
    """Names of the arguments that `first` was asked for."""

    def arg(self, number: int) -> str:
        """The argument of that number, counted from 1; empty when there is none."""
        return self.args[number - 1] if 0 < number <= len(self.args) else ""

    def first(self, *names: str) -> str:
        """The first of these named arguments that is not empty."""
        self.read.update(names)
        return next((value for name in names if (value := self.named.get(name, ""))), "")

    def plain(self) -> list[str]:
        """The arguments without a name, the marks of invisible things taken out, empty ones left out."""
        return [value for arg in self.args if (value := arg.replace(GAP, "").strip())]

    def has_words(self) -> bool:
        """Whether an argument without a name, or a named one that is usually shown, holds a letter."""
        shown = (value for name, value in self.named.items() if name in SHOWN_BY_NAME)
        return any(LETTER.search(value) for value in (*self.args, *shown))

    def leaves_text(self) -> bool:
        """Whether a named argument that is usually shown was not asked for."""
        return any(name in SHOWN_BY_NAME and value and name not in self.read for name, value in self.named.items())


Handler: TypeAlias = Callable[[TemplateCall], str | None]
"""Gives the text shown for a use of a template, or None when it cannot tell: the text then has a hole."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a template is shown, and how many arguments without a name the handler accounts for."""

    show: Handler
    most: int = 1

    def apply(self, call: TemplateCall) -> str | None:
        """The text shown, or None where an argument would be lost: an unused one, or words of which nothing shows."""
        if any(call.args[self.most :]):
            return None
        shown = self.show(call)
        if shown is None or (call.named and call.leaves_text()):
            return None
        return shown if shown.strip(BLANK) or shown.startswith(UNSHOWN) or not call.has_words() else None


UNSHOWN = GAP * 2
"""What a handler gives that knows that its arguments show nothing."""


def show_nothing(_call: TemplateCall) -> str:
    """For what readers do not see in the running text."""
    return GAP


SILENT = Rule(show_nothing, ANY)
"""Shows nothing inside the running text, whatever the arguments."""

APART = Rule(show_nothing, ANY)
"""Shown beside or between the paragraphs: a gap where it opens a line, a hole where words stand inside one."""

SPACING = Rule(lambda _call: f"{UNSHOWN} ", ANY)
"""Shows a space or a break, whatever the arguments."""


def show_first(call: TemplateCall) -> str | None:
    """For templates that style their first argument."""
    return call.first("text", "content") or call.arg(1)


def show_second(call: TemplateCall) -> str | None:
    """For templates whose first argument is a code, and whose second is the text."""
    return call.first("text", "content") or call.arg(2) or None


def show_last(call: TemplateCall) -> str | None:
    """For templates whose text is their last argument, after one code or more."""
    return call.args[-1] if len(call.args) > 1 else None


def show_only(call: TemplateCall) -> str | None:
    """For templates whose text is their one argument or their last one."""
    return call.args[-1] if call.args else call.first("text", "content")


def show_list(call: TemplateCall) -> str:
    """For templates that set their arguments out as a short list; one that holds list items keeps their lines."""
    shown = ", ".join(arg for arg in call.args if arg)
    return f"\n{shown}\n" if shown.startswith("*") else shown


def show_joined(separator: str) -> Handler:
    """A handler that shows all arguments, joined."""
    return lambda call: separator.join(call.plain())


def show_reading(call: TemplateCall) -> str | None:
    """{{ruby|base|reading}}: the base, then the reading in brackets."""
    return f"{call.arg(1)}({call.arg(2)})" if call.arg(2) else call.arg(1)


def show_title(call: TemplateCall) -> str:
    """For the name of the page itself."""
    return call.title


def show_quotation(call: TemplateCall) -> str | None:
    """For quotations set apart from the text around them: a paragraph of their own, without the author."""
    text = call.first("text", "quote", "content", "1") or call.arg(2 if call.name == "rquote" else 1)
    return f"\n\n{text}\n\n" if text else None


def show_as_written(call: TemplateCall) -> str:
    """{{sic|wo|rd}}: the words, without the remark."""
    return "".join(call.args[:2]) or GAP


def show_constant(text: str) -> Handler:
    """A handler that always shows the same text, which is never read as markup."""
    # A template's "|" separates the parts of the link or table around it.
    shown = text if text == "|" else protect(text)
    return lambda _call: shown
