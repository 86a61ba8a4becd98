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


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of each line that is not blank. Raises ConfigError, StorageError."""
    with wrap_os_errors(path):
        content = path.read_bytes()
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ConfigError(f"{path} is damaged gzip: {error}", "name a whole file of labels") from None
    for number, line in enumerate(content.removeprefix(BOM).splitlines(), start=1):
        if line.strip():
            yield number, line


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
