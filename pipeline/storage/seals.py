"""Seals: a checksum as the last member of a JSON text, which stays plain JSON.

A line of a log carries a CRC-32 (`"crc"` of an object, a text `"crc:..."` at the end of an array). A file of the
ledger, which is an object, carries a SHA-256 (`"sha256"`). Each is taken over the bytes before it.

Contract: a text without its seal, or with any other byte than was written, raises ValueError.
"""

from __future__ import annotations

import hashlib
from typing import Any
from zlib import crc32

import orjson

OBJECT, ARRAY = b',"crc":"%08x"}\n', b',"crc:%08x"]\n'
FILE, FILE_TAIL = b',\n"sha256":"', b'"}\n'
DIGEST = 64
"""Hexadecimal digits of a SHA-256."""


def seal_line(line: bytes) -> bytes:
    """A line with its seal. `line` is a JSON object or array with at least one member, newline included."""
    body = line[:-2]
    return body + (OBJECT if line.endswith(b"}\n") else ARRAY) % crc32(body)


def read_line(line: bytes) -> Any:
    """The value of a line, without the seal. Raises ValueError for a line that is not JSON or was changed."""
    value = orjson.loads(line)
    if isinstance(value, dict) and "crc" in value:
        del value["crc"]
        form = OBJECT
    elif isinstance(value, list) and value:
        form, value = ARRAY, value[:-1]
    else:
        raise ValueError("the line has no checksum")
    size = len(form % 0)
    if line[-size:] != form % crc32(memoryview(line)[:-size]):
        raise ValueError("the line is not the one that was written")
    return value


def seal_file(content: bytes) -> bytes:
    """The content of a file with its seal. `content` is a JSON object with at least one member."""
    body = content.rstrip()[:-1].rstrip()
    return b"%b%b%b%b" % (body, FILE, hashlib.sha256(body).hexdigest().encode(), FILE_TAIL)


def read_file(content: bytes) -> dict[str, Any]:
    """The object in a sealed file. Raises ValueError for a file without a JSON object, or a changed one."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(_describe_broken(content)) from error
    if not isinstance(value, dict):
        raise ValueError("holds no JSON object")
    if value.pop("sha256", None) is None:
        raise ValueError("has no checksum")
    start = -len(FILE_TAIL) - DIGEST
    body, seal = content[: start - len(FILE)], content[start - len(FILE) :]
    if seal != b"%b%b%b" % (FILE, hashlib.sha256(body).hexdigest().encode(), FILE_TAIL):
        raise ValueError("is not what was written: its checksum differs")
    return value


def _describe_broken(content: bytes) -> str:
    if not content.strip():
        return "is empty"
    if not content.strip(b"\0"):
        return "holds nothing but NULs"
    return "is cut off or holds no JSON"
