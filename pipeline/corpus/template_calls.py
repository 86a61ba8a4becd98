"""A use of a template, as handlers see it, and the handlers that need no more than its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from pipeline.corpus.marks import GAP


@dataclass(slots=True)
class Call:
    """One use of a template, its arguments rendered and stripped."""

    name: str
    """The template's name, lower case, underscores as spaces."""
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

    def arg(self, number: int) -> str:
        """The argument of that number, counted from 1; empty when there is none."""
        return self.args[number - 1] if 0 < number <= len(self.args) else ""

    def first(self, *names: str) -> str:
        """The first of these named arguments that is not empty."""
        return next((value for name in names if (value := self.named.get(name, ""))), "")

    def plain(self) -> list[str]:
        """The arguments without a name, the marks of invisible things taken out, empty ones left out."""
        return [value for arg in self.args if (value := arg.replace(GAP, "").strip())]


Handler: TypeAlias = Callable[[Call], str | None]
"""Gives the text shown for a use of a template, or None when it cannot tell: the text then has a hole."""


def show_nothing(_call: Call) -> str:
    """For what readers do not see in the running text."""
    return GAP


def show_first(call: Call) -> str:
    """For templates that style their first argument."""
    return call.arg(1)


def show_second(call: Call) -> str:
    """For templates whose first argument is a code, and whose second is the text."""
    return call.arg(2) or call.arg(1)


def show_last(call: Call) -> str:
    """For templates whose text is their last argument."""
    return call.args[-1] if call.args else ""


def show_list(call: Call) -> str:
    """For templates that set their arguments out as a short list."""
    return ", ".join(arg for arg in call.args if arg)


def show_title(call: Call) -> str:
    """For the name of the page itself."""
    return call.title


def show_quotation(call: Call) -> str:
    """For quotations set apart from the text around them: a paragraph of their own."""
    text = call.first("text", "quote", "1") or call.arg(1)
    return f"\n\n{text}\n\n"


def show_as_written(call: Call) -> str:
    """{{sic|wo|rd}}: the words, without the remark."""
    return "".join(call.args[:2]) or GAP


def show_flagged(call: Call) -> str:
    """{{clarify span|text=words}}: the words that are flagged, without the flag."""
    return call.first("text") or call.arg(1)


def show_constant(text: str) -> Handler:
    """A handler that always shows the same text."""
    return lambda _call: text
