"""Arrow schema of every dataset, derived from its record model.

Guarantees: the same model gives the same schema, field for field, and a row survives the round trip unchanged.
"""

from __future__ import annotations

import types
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel

from schemas.record import Record

SCALARS: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@cache
def arrow_schema(model: type[Record]) -> pa.Schema:
    """Return the schema of the model's dataset, with its name and version in the metadata."""
    metadata = {"rampforge.dataset": model.dataset, "rampforge.schema_version": str(model.version)}
    return pa.schema(_fields(model), metadata=metadata)


def _fields(model: type[BaseModel]) -> list[pa.Field]:
    return [_field(name, info.annotation) for name, info in model.model_fields.items()]


def _field(name: str, annotation: Any) -> pa.Field:
    inner, optional = _strip_optional(annotation)
    return pa.field(name, _data_type(inner), nullable=optional)


def _strip_optional(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        if len(inner) == 1:
            return inner[0], True
        raise TypeError(f"a column has one type, not {annotation}")
    return annotation, False


def _data_type(annotation: Any) -> pa.DataType:
    if get_origin(annotation) is tuple:
        item, ellipsis = get_args(annotation)
        if ellipsis is not Ellipsis:
            raise TypeError(f"a list column has one item type, not {annotation}")
        return pa.list_(_field("item", item))
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            return pa.struct(_fields(annotation))
        if issubclass(annotation, StrEnum):
            return pa.string()
        if annotation in SCALARS:
            return SCALARS[annotation]
    raise TypeError(f"no column type for {annotation}: free-form values travel as JSON text")
