"""Templates: text files filled in one pass, with outside text made inert.

Promises: a value is put in as text and nothing else - braces in it open no placeholder, and it can neither open nor
close a tag that our formats give a meaning to; the digest of a template changes when and only when its text does.

A template is `templates/<name>.<lang>.md`. `{field}` stands for a value; any other brace is a brace. A file may hold
several phrasings of one message, divided by lines of three hyphens; they take the same fields.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "templates"
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
DIVIDER = re.compile(r"^---$\n?", re.MULTILINE)
TAGS = (
    *(
        "think",
        "search",
        "information",
        "results?",
        "answers?",
        "query",
        "queries",
        "observation",
        "passages?",
        "documents?",
    ),
    *("task", "plan", "tools?", "tool_calls?", "tool_responses?", "function", "function_call", "system", "user"),
    *("assistant", "human", "judge", "verdict", "reference", "steps?", "SYS"),
)
# A tag of ours, a chat template's control token, or either written with a wide or small less-than sign.
TAG_OPENING = re.compile(
    rf"[<\uff1c\ufe64](?=\s*[/\uff0f]?\s*(?:{'|'.join(TAGS)})\b|\s*[|\uff5c]|<)|\[(?=\s*/?\s*INST\b)",
    re.IGNORECASE,
)
INERT_OPENING = "\u2039"


class TemplateError(ValueError):
    """A template is missing, or was given the wrong fields."""


def make_inert(text: str) -> str:
    """Take the meaning from every tag of ours in text from outside.

    The opening sign of such a tag becomes a look-alike without meaning, so the text keeps its length and every offset
    into it; other less-than signs stay.
    """
    return TAG_OPENING.sub(INERT_OPENING, text)


@dataclass(frozen=True, slots=True)
class Block:
    """Text made by a template of ours: inert already, so that it goes into another template as it is."""

    text: str


def join_blocks(blocks: Iterable[Block], nothing: str) -> Block:
    """Put blocks under each other; `nothing`, words of ours, stands for none at all."""
    return Block("\n".join(block.text for block in blocks) or nothing)


@dataclass(frozen=True, slots=True)
class Template:
    """One message with places for values."""

    name: str
    """File name without its ending, such as `plan.en`."""
    phrasings: tuple[str, ...]
    """The ways to say it; usually one."""
    fields: frozenset[str]
    """Values it takes."""
    digest: str
    """Hash of the file's text."""

    def fill(self, phrasing: int = 0, /, **fields: str | Block) -> str:
        """Put inert values into the places, in one pass. `phrasing` is any number; it picks by remainder.

        A block keeps its tags; any other text loses their meaning. Raises TemplateError when a field is missing or
        unknown.
        """
        if fields.keys() != self.fields:
            wrong = sorted(fields.keys() ^ self.fields)
            raise TemplateError(f"template {self.name} takes {sorted(self.fields)}; wrong or missing: {wrong}")
        text = self.phrasings[phrasing % len(self.phrasings)]
        return PLACEHOLDER.sub(lambda place: _write_value(fields[place.group(1)]), text)


def _write_value(value: str | Block) -> str:
    return value.text if isinstance(value, Block) else make_inert(value)


@cache
def load_template(name: str, lang: str) -> Template:
    """Read a template in a language: `zh-hant` falls back to `zh`, any other unknown language to English.

    Raises TemplateError when there is none, or when its phrasings take different fields.
    """
    for code in (lang, lang.split("-")[0], "en"):
        path = FOLDER / f"{name}.{code}.md"
        if re.fullmatch(r"[a-z_]+", name) and path.is_file():
            return _parse_template(path.stem, path.read_text(encoding="utf-8"))
    raise TemplateError(f"there is no template {name} for language {lang}")


def _parse_template(name: str, text: str) -> Template:
    phrasings = tuple(part.strip() for part in DIVIDER.split(text) if part.strip())
    fields = {frozenset(PLACEHOLDER.findall(phrasing)) for phrasing in phrasings}
    if len(fields) != 1:
        raise TemplateError(f"the phrasings of template {name} do not take the same fields")
    digest = hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
    return Template(name, phrasings, fields.pop(), digest)


def load_words(name: str, lang: str) -> dict[str, str]:
    """Read a template file of `key: text` lines as a table of words."""
    (body,) = load_template(name, lang).phrasings
    return {key.strip(): value.strip() for key, value in (line.split(":", 1) for line in body.splitlines() if line)}


def digest_templates() -> dict[str, str]:
    """The digest of every template there is, by name."""
    paths = sorted(path for path in FOLDER.iterdir() if path.suffix == ".md")
    return {path.stem: _parse_template(path.stem, path.read_text(encoding="utf-8")).digest for path in paths}
