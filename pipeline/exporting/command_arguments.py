"""Files of command-line arguments, one a line, which a shell hands on unaltered, whatever a path holds."""

from __future__ import annotations

import re
from collections.abc import Iterable

OVERRIDES, ARGUMENTS = "overrides.txt", "arguments.txt"
_PLAIN = re.compile(r"[\w./@-]+", re.ASCII)


def read_by(command: str, file: str) -> str:
    """Return a command that gets the arguments of a file after its own: no shell splits or expands them."""
    return f"xargs -d '\\n' -a {file} {command}"


def write_lines(arguments: Iterable[str]) -> str:
    """Return the text of a file of arguments."""
    return "".join(f"{argument}\n" for argument in arguments)


def quote_hydra(value: str) -> str:
    """Return a text as the value of an override, quoted where it needs it.

    In the grammar of hydra 1.1 and later; and in YAML, which SkyRL reads, unless it holds quotes of both kinds.
    """
    if _PLAIN.fullmatch(value):
        return value
    mark = '"' if "'" in value and '"' not in value else "'"
    # A backslash stands for itself, unless a quote comes after it, or after more of its kind.
    escaped = re.sub(rf"(\\*)({mark}|\Z)", lambda found: 2 * found[1] + (f"\\{mark}" if found[2] else ""), value)
    return f"{mark}{escaped}{mark}"
