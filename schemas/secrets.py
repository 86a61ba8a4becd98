"""Detector of secrets in a configuration. Operates on text only; does not read the environment.

Guarantees: a password or key is found in every URL, argument, variable and free-form key, by its name or by its form;
reports name its location and never repeat the secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel

from schemas.locations import find_secret

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
SECRET_WORDS = re.compile(r"passw(or)?d|passphrase|pwd|secrets?|credentials?|authorization|bearer|apikey")
NO_KEYS = re.compile(r"cache|routing|sort|partition|primary|foreign|hash|public|idempotency")
"""Names such as `prompt_cache_key`, which are parameters."""
NO_TOKENS = re.compile(r"[ebu]os|pad|unk|mask|sep|cls|stop|end|start|image|audio|video|special|think|tool")
"""Names such as `eos_token`, which are text."""
OPTION = re.compile(r"^-{0,2}([A-Za-z][\w.-]*)(?:\s*[=:]\s*(.*))?$", re.DOTALL)
"""`--name`, `--name=value`, `name:value`, or a header's `Name: value`."""
HEADER = re.compile(r"(?:^|=)([A-Za-z][\w-]*): +\S+(?: \S+)?$", re.MULTILINE)
"""Header with its value, which contains no prose."""
KEY_LIKE = re.compile(
    r"(?<![\w-])(?:"
    r"sk-(?=[\w-]*\d)[\w-]{12,}|[sr]k_(?:live|test)_\w{8,}|(?:hf|gsk|ghp|gho|ghs|ghu|r8)_[A-Za-z0-9]{16,}"
    r"|github_pat_\w{16,}|(?:xai|nvapi|pplx|tvly|glpat|xox[abprs])-(?=[\w-]*\d)[\w-]{12,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}|(?:Bearer|Basic)\s+[\w.~+/=-]{8,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
)
"""Form of the keys of well-known services."""
REFERENCE_ONLY = re.compile(r"(?:[A-Za-z]+ )?\$\{\w+\}")
LONG_WORD, RANDOM_WORD = 32, 16
"""Lengths without an underscore from which a word, or one with digits, cannot be the name of a variable."""
CASE_CHANGES = 5


def check_name(name: str) -> str:
    """Check the name of a variable. Raises ValueError if it is not a valid name, or has the form of a key."""
    if not VARIABLE.match(name) or looks_like_key(name):
        raise ValueError("takes the NAME of the environment variable that holds the key, not the key itself")
    return name


VariableName = Annotated[str, AfterValidator(check_name)]
"""Name of an environment variable that holds a secret."""


def looks_like_key(text: str) -> bool:
    """Return whether a word in the position of a variable's name has the form of a key."""
    return KEY_LIKE.search(text) is not None or any(_is_random(word) for word in text.split("_"))


def _is_random(word: str) -> bool:
    digits = sum(map(str.isdigit, word))
    changes = sum(a.isalpha() and b.isalpha() and a.isupper() != b.isupper() for a, b in pairwise(word))
    mixed = min(digits, len(word) - digits) >= 3 or changes >= CASE_CHANGES
    return len(word) >= LONG_WORD or (len(word) >= RANDOM_WORD and mixed)


def names_secret(name: str) -> bool:
    """Return whether a value of this name, such as `--api-key` or `HF_TOKEN`, is a secret."""
    words = [word.lower() for word in WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1], "".join(words[-2:-1])
    if any(map(SECRET_WORDS.fullmatch, words)) or last == "auth" or words[-2:] in (["api", "keys"], ["access", "keys"]):
        return True
    return (last == "key" and not NO_KEYS.fullmatch(before)) or (last == "token" and not NO_TOKENS.fullmatch(before))


def list_secrets(value: Any, place: str = "") -> Iterator[str]:
    """Return one line for each secret in a configuration or part of it: its location and kind."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from list_secrets(getattr(value, name), _join(place, name))
    elif isinstance(value, Mapping):
        yield from _list_in_mapping(value, place)
    elif isinstance(value, str):
        yield from _list_in_text(value, place)
    elif isinstance(value, Sequence):
        yield from _list_in_sequence(value, place)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _list_in_mapping(value: Mapping[Any, Any], place: str) -> Iterator[str]:
    for key, inner in value.items():
        name = str(key)
        if KEY_LIKE.search(name) or find_secret(name):
            yield f"{place}: contains a name that looks like a key"
        elif names_secret(name) and _holds_text(inner) and not _is_reference(inner):
            yield f"{_join(place, name)} is named like a secret"
        else:
            yield from list_secrets(inner, _join(place, name))


def _is_reference(value: Any) -> bool:
    """Return whether a header's value is a variable, alone or after its scheme: `Bearer ${NAME}`."""
    return isinstance(value, str) and REFERENCE_ONLY.fullmatch(value) is not None


def _list_in_sequence(value: Sequence[Any], place: str) -> Iterator[str]:
    words = [word for item in value for word in _split_option(item)]
    for word, after in pairwise([*words, ""]):
        option = OPTION.match(word)
        if option and names_secret(option[1]):
            text = option[2] if option[2] is not None else after if word.startswith("-") else ""
            if text and not (option[2] is None and text.startswith("-")):
                yield f"{place}: {option[1]} is named like a secret"
    for item in value:
        yield from list_secrets(item, place)


def _split_option(item: Any) -> list[str]:
    """Split an argument that may contain an option and its value."""
    text = str(item)
    return text.split() if text.startswith("-") and "{" not in text else [text]


def _list_in_text(text: str, place: str) -> Iterator[str]:
    if secret := find_secret(text):
        yield f"{place}: a URL carries {secret}"
    elif KEY_LIKE.search(text):
        yield f"{place}: looks like a key"
    elif header := next(filter(names_secret, HEADER.findall(text)), None):
        yield f"{place}: {header} is named like a secret"
    elif "{" in text:  # JSON, which some servers accept as an argument
        try:
            yield from list_secrets(json.loads(text[text.index("{") :]), place)
        except (ValueError, RecursionError):
            return


def _holds_text(value: Any) -> bool:
    """Return whether the value contains text, ignoring a nested section."""
    if isinstance(value, Mapping):
        return any(map(_holds_text, value.values()))
    if isinstance(value, str | Sequence):
        return bool(value) if isinstance(value, str) else any(map(_holds_text, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def refuse_secrets(config: Any) -> None:
    """Raise ValueError naming the location of every secret in a configuration."""
    if found := list(dict.fromkeys(list_secrets(config))):
        raise ValueError(
            "; ".join(found) + ". Secrets come from the environment, a profile or a role: where a key is needed, "
            "`key` takes the NAME of a variable"
        )
