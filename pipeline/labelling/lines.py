"""Files of labels: one JSON object a line, UTF-8, gzipped or not.

Contract: a line that is not of its form is a ConfigError with the file, the line and the reason.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.errors import ConfigError
from pipeline.storage.files import wrap_os_errors

Row = TypeVar("Row", bound=BaseModel)

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
MOST_BYTES = 1 << 26
"""Bytes of a file, decompressed."""


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of each line that is not blank. Raises ConfigError, StorageError."""
    content = _read(path)
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path} holds more than {MOST_BYTES:,} bytes", "name a file of labels; divide a larger one")
    for number, line in enumerate(content.removeprefix(BOM).splitlines(), start=1):
        if line.strip():
            yield number, line


def _read(path: Path) -> bytes:
    """Return the content, decompressed, up to a byte more than is allowed."""
    with wrap_os_errors(path), path.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        if not packed:
            return file.read(MOST_BYTES + 1)
        try:
            return gzip.GzipFile(fileobj=file).read(MOST_BYTES + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ConfigError(f"{path} is damaged gzip: {error}", "name a whole file of labels") from None


def parse_line(path: Path, number: int, line: bytes, model: type[Row], fix: str) -> Row:
    """Return a line as a row. Raises ConfigError; `fix`: where its form is described."""
    try:
        return model.model_validate_json(line)
    except ValidationError as error:
        raise refuse_line(path, number, describe_fault(error), fix) from None


def refuse_line(path: Path, number: int, what: str, fix: str) -> ConfigError:
    """Return the error of a line."""
    return ConfigError(f"{path}, line {number}: {what}", fix)


def describe_fault(error: ValidationError) -> str:
    """Return the first fault of a row in one line."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])
