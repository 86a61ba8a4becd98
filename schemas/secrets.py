"""Secrets where a configuration must not hold them. Text only; nothing here reads the environment.

Contract: a password or key is found in every URL, argument, variable and free-form key, by the name beside it or by
its own look; what is reported names the place and never repeats the secret.
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
"""`prompt_cache_key` and its like are parameters."""
NO_TOKENS = re.compile(r"[ebu]os|pad|unk|mask|sep|cls|stop|end|start|image|audio|video|special|think|tool")
"""`eos_token` and its like are text."""
OPTION = re.compile(r"^-{0,2}([A-Za-z][\w.-]*)(?:\s*[=:]\s*(.*))?$", re.DOTALL)
"""`--name`, `--name=value`, `name:value`, or a header's `Name: value`."""
HEADER = re.compile(r"(?:^|=)([A-Za-z][\w-]*): +\S+(?: \S+)?$", re.MULTILINE)
"""A header with its value, which holds no prose."""
KEY_LIKE = re.compile(
    r"(?<![\w-])(?:"
    r"sk-(?=[\w-]*\d)[\w-]{12,}|[sr]k_(?:live|test)_\w{8,}|(?:hf|gsk|ghp|gho|ghs|ghu|r8)_[A-Za-z0-9]{16,}"
    r"|github_pat_\w{16,}|(?:xai|nvapi|pplx|tvly|glpat|xox[abprs])-(?=[\w-]*\d)[\w-]{12,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}|(?:Bearer|Basic)\s+[\w.~+/=-]{8,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
)
"""The look of the keys of well-known services."""
LONG_WORD, RANDOM_WORD = 32, 16
"""Characters without an underscore that no variable's name has; those that one with digits among them has not."""
CASE_CHANGES = 5


def check_name(name: str) -> str:
    """The name of a variable. Raises ValueError for what is none, or looks like a key itself."""
    if not VARIABLE.match(name) or looks_like_key(name):
        raise ValueError("takes the NAME of the environment variable that holds the key, not the key itself")
    return name


VariableName = Annotated[str, AfterValidator(check_name)]
"""The name of an environment variable that holds a secret."""


def looks_like_key(text: str) -> bool:
    """Whether a word that should be a variable's name has the look of a key."""
    return KEY_LIKE.search(text) is not None or any(_is_random(word) for word in text.split("_"))


def _is_random(word: str) -> bool:
    digits = sum(map(str.isdigit, word))
    changes = sum(a.isalpha() and b.isalpha() and a.isupper() != b.isupper() for a, b in pairwise(word))
    mixed = min(digits, len(word) - digits) >= 3 or changes >= CASE_CHANGES
    return len(word) >= LONG_WORD or (len(word) >= RANDOM_WORD and mixed)


def names_secret(name: str) -> bool:
    """Whether what goes by this name, such as `--api-key` or `HF_TOKEN`, is a secret."""
    words = [word.lower() for word in WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1], "".join(words[-2:-1])
    if any(map(SECRET_WORDS.fullmatch, words)) or last == "auth" or words[-2:] in (["api", "keys"], ["access", "keys"]):
        return True
    return (last == "key" and not NO_KEYS.fullmatch(before)) or (last == "token" and not NO_TOKENS.fullmatch(before))


def list_secrets(value: Any, place: str = "") -> Iterator[str]:
    """One line for each secret in a configuration or a part of it: its place, and what it is."""
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
            yield f"{place}: a name in it looks like a key"
        elif names_secret(name) and _holds_text(inner):
            yield f"{_join(place, name)} is a secret by its name"
        else:
            yield from list_secrets(inner, _join(place, name))


def _list_in_sequence(value: Sequence[Any], place: str) -> Iterator[str]:
    words = [word for item in value for word in _split_option(item)]
    for word, after in pairwise([*words, ""]):
        option = OPTION.match(word)
        if option and names_secret(option[1]):
            text = option[2] if option[2] is not None else after if word.startswith("-") else ""
            if text and not (option[2] is None and text.startswith("-")):
                yield f"{place}: {option[1]} is a secret by its name"
    for item in value:
        yield from list_secrets(item, place)


def _split_option(item: Any) -> list[str]:
    """The words of an argument, which may hold an option and its value in one."""
    text = str(item)
    return text.split() if text.startswith("-") and "{" not in text else [text]


def _list_in_text(text: str, place: str) -> Iterator[str]:
    if secret := find_secret(text):
        yield f"{place}: a URL carries {secret}"
    elif KEY_LIKE.search(text):
        yield f"{place}: it looks like a key"
    elif header := next(filter(names_secret, HEADER.findall(text)), None):
        yield f"{place}: {header} is a secret by its name"
    elif "{" in text:  # JSON, as arguments of servers take it
        try:
            yield from list_secrets(json.loads(text[text.index("{") :]), place)
        except (ValueError, RecursionError):
            return


def _holds_text(value: Any) -> bool:
    """Whether there is a value at all, a section of its own apart."""
    if isinstance(value, Mapping):
        return any(map(_holds_text, value.values()))
    if isinstance(value, str | Sequence):
        return bool(value) if isinstance(value, str) else any(map(_holds_text, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def refuse_secrets(config: Any) -> None:
    """Raises ValueError that names every place of a secret in a configuration."""
    if found := list(dict.fromkeys(list_secrets(config))):
        raise ValueError(
            "; ".join(found) + ". Secrets come from the environment, a profile or a role: where a key is needed, "
            "`key` takes the NAME of a variable"
        )
