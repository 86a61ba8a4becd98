"""The JSON files of a run's ledger, and its run.json: records with a checksum.

Contract: a truncated, changed or invalid file raises a StorageError with the file and the command that repairs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline.errors import StorageError
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.seals import read_file, seal_file
from schemas.record import Frozen

T = TypeVar("T", bound=Frozen)


class OtherVersionError(ValueError):
    """The file is intact, and was written by an incompatible version of rampforge."""


def encode_record(record: Frozen) -> bytes:
    """The content of a ledger file."""
    return seal_file(record.model_dump_json(indent=1).encode())


def read_record(path: Path, model: type[T], location: str) -> T:
    """The record of a ledger file. `location`: of the run. Raises StorageError."""
    with wrap_os_errors(path):
        content = path.read_bytes()
    try:
        return decode_record(content, model)
    except OtherVersionError as error:
        raise StorageError(f"{path}: {error}", "use the version of rampforge that wrote it") from None
    except ValueError as error:
        raise StorageError(f"{path}: {error}", advise_repair(location)) from None


def decode_record(content: bytes, model: type[T]) -> T:
    """The record in the content of a ledger file. Raises ValueError with the reason."""
    value = read_file(content)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
        raise OtherVersionError(f"was written by another version of rampforge ({what})") from None


def advise_repair(location: str | Path) -> str:
    """The command that repairs a run."""
    return f"`rampforge verify {location} --repair` mends it"
