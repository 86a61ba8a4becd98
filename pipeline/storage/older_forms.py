"""Rows that an older rampforge wrote, without a column that has been added since: what is missing, and what to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

STAGE_KEY = b"rampforge.stage"
IMPORTED = "import"
"""What stands for the stage in rows that were imported."""


def list_columns(fields: Iterable[pa.Field], prefix: str = "") -> Iterator[str]:
    """Yield the columns of a schema, those in structs and lists of structs as `struct.column`."""
    for field in fields:
        kind = field.type
        while pa.types.is_list(kind):
            kind = kind.value_type
        yield prefix + field.name
        if pa.types.is_struct(kind):
            yield from list_columns(kind, f"{prefix}{field.name}.")


def describe_older(dataset: str, missing: Iterable[str]) -> str:
    """Return what is wrong with rows that lack columns."""
    return f"an older form of {dataset}, without {', '.join(missing)}"


def advise_redo(run: str | Path, schema: pa.Schema) -> str:
    """Return the ways on from a shard of an older form. `schema`: of the shard, which names its stage."""
    stage = (schema.metadata or {}).get(STAGE_KEY, b"STAGE").decode()
    if stage == IMPORTED:
        return "import the rows again, into another folder: `rampforge import FILE... --out OTHER`"
    return (
        f"`rampforge resume {shlex.quote(str(run))} --redo {stage}` makes {stage} and all after it again; or use the "
        "rampforge that wrote it"
    )
