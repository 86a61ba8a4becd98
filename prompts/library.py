"""Prompt templates: text files filled in one pass, with external text made inert.

Guarantees: a value is inserted as text only: braces in it are not placeholders, and it can neither open nor close a tag
that has a meaning in the formats; the digest of a template changes exactly when its text does.

A template is `templates/<name>.<lang>.md`. `{field}` stands for a value, `{field:one|many}` for `one` when the value is
1 and for `many` otherwise; any other brace is literal. A file may contain several phrasings of one message, separated
by lines of three hyphens; all use the same fields.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "templates"
PLACEHOLDER = re.compile(r"\{([a-z_]+)(?::([^{}|]*)\|([^{}|]*))?\}")
DIVIDER = re.compile(r"^---$\n?", re.MULTILINE)
TAGS = (
    "think|search|information|results?|answers?|query|queries|observation|passages?|documents?|task|plan|tools?|"
    "tool_calls?|tool_responses?|function|function_call|system|user|assistant|human|judge|verdict|reference|steps?|SYS"
)
# A tag of the formats, a control token of a chat template, or either with a full-width or small less-than sign.
TAG_OPENING = re.compile(
    rf"[<\uff1c\ufe64](?=\s*[/\uff0f]?\s*(?:{TAGS})\b|\s*[|\uff5c]|<)|\[(?=\s*/?\s*INST\b)",
    re.IGNORECASE,
)
INERT_OPENING = "\u2039"


class TemplateError(ValueError):
    """Missing template, or wrong fields."""


def make_inert(text: str) -> str:
    """Neutralise every tag of the formats in external text.

    The opening sign of such a tag is replaced by a look-alike without meaning, so that the text keeps its length and
    every offset into it; other less-than signs stay.
    """
    return TAG_OPENING.sub(INERT_OPENING, text)


@dataclass(frozen=True, slots=True)
class Block:
    """Text made from a template: already inert, so that it is inserted into another template unchanged."""

    text: str


def join_blocks(blocks: Iterable[Block], nothing: str) -> Block:
    """Join blocks with line breaks; `nothing` is the text for no blocks."""
    return Block("\n".join(block.text for block in blocks) or nothing)


@dataclass(frozen=True, slots=True)
class Template:
    """Message with placeholders for values."""

    name: str
    """File name without extension, such as `plan.en`."""
    phrasings: tuple[str, ...]
    """Alternative wordings; usually one."""
    fields: frozenset[str]
    """Names of the placeholders."""
    digest: str
    """Hash of the file's text."""

    def fill(self, phrasing: int = 0, /, **fields: str | Block) -> str:
        """Insert inert values at the placeholders, in one pass. `phrasing` is any number; it selects by remainder.

        A block keeps its tags; those of any other text are neutralised. Raises TemplateError when a field is missing or
        unknown.
        """
        if fields.keys() != self.fields:
            wrong = sorted(fields.keys() ^ self.fields)
            raise TemplateError(
                f"template {self.name} needs the fields {sorted(self.fields)}; wrong or missing: {wrong}"
            )
        text = self.phrasings[phrasing % len(self.phrasings)]
        return PLACEHOLDER.sub(lambda match: _write_value(fields[match[1]], match[2], match[3]), text)


def _write_value(value: str | Block, one: str | None, many: str | None) -> str:
    if one is not None and many is not None:
        return one if value == "1" else many
    return value.text if isinstance(value, Block) else make_inert(value)


def load_template(name: str, lang: str) -> Template:
    """Read a template in a language: `zh-hant` falls back to `zh`, any other unknown language to English.

    A file of the folder that this process uses (`use_folder`) comes before ours of that name. Raises TemplateError if
    there is no such template, or if its phrasings use different fields.
    """
    return _load(name, lang, _used)


@cache
def _load(name: str, lang: str, folder: Path | None) -> Template:
    for code in (lang, lang.split("-")[0], "en"):
        for place in filter(None, (folder, FOLDER)):
            path = place / f"{name}.{code}.md"
            if re.fullmatch(r"[a-z_]+", name) and path.is_file():
                return _parse_template(path.stem, path.read_text(encoding="utf-8"))
    raise TemplateError(f"no template {name} for language {lang}")


_used: Path | None = None
"""The folder whose templates this process puts before ours."""


def use_folder(folder: Path | None) -> dict[str, str]:
    """Put the templates of a folder before ours in this process, from now on; return their digests, by name.

    Raises TemplateError for a file that is not named as one of ours is, or that has other fields or keys.
    """
    global _used
    found = {} if folder is None else _check_folder(folder)
    if folder != _used or found:  # a file may have changed
        _load.cache_clear()
    _used = folder
    return found


def _check_folder(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise TemplateError(f"{folder} is not a folder")
    names = digest_templates()
    found: dict[str, str] = {}
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        if path.suffix != ".md" or path.stem not in names:
            valid = ", ".join(f"{name}.md" for name in names)
            raise TemplateError(f"{path}: no template has this name; the names are {valid}")
        own = _parse_template(path.stem, (FOLDER / path.name).read_text(encoding="utf-8"))
        try:
            theirs = _parse_template(path.stem, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateError(f"{path}: cannot be read: {error}") from None
        missing, unknown = _list_fields(own) - _list_fields(theirs), _list_fields(theirs) - _list_fields(own)
        if missing or unknown:
            raise TemplateError(f"{path}: missing fields {sorted(missing)}, unknown fields {sorted(unknown)}")
        found[path.stem] = theirs.digest
    return found


def _list_fields(template: Template) -> frozenset[str]:
    """The placeholders; of a table of words its keys."""
    if not template.name.partition(".")[0].endswith("_words"):
        return template.fields
    return frozenset(line.partition(":")[0].strip() for line in template.phrasings[0].splitlines() if line)


def _parse_template(name: str, text: str) -> Template:
    phrasings = tuple(part.strip() for part in DIVIDER.split(text) if part.strip())
    fields = {frozenset(match[1] for match in PLACEHOLDER.finditer(phrasing)) for phrasing in phrasings}
    if len(fields) != 1:
        raise TemplateError(f"the phrasings of template {name} use different fields")
    digest = hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
    return Template(name, phrasings, fields.pop(), digest)


def load_words(name: str, lang: str) -> dict[str, str]:
    """Read a template file of `key: text` lines as a table."""
    (body,) = load_template(name, lang).phrasings
    return {key.strip(): value.strip() for key, value in (line.split(":", 1) for line in body.splitlines() if line)}


def digest_templates() -> dict[str, str]:
    """Return the digest of every template of ours, by name."""
    paths = sorted(path for path in FOLDER.iterdir() if path.suffix == ".md")
    return {path.stem: _parse_template(path.stem, path.read_text(encoding="utf-8")).digest for path in paths}
