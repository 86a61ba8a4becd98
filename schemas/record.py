"""The base of every record, and how a record gets its id.

Promises: a record cannot change after it is made, refuses keys it does not know, and its id is a hash of what it is
made from, never of the time or the place it was made in.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

ID_BYTES = 10  # 80 bits: a clash is expected at about 10^12 records


class Frozen(BaseModel):
    """A value inside a record: frozen, closed, every field explained by the sentence under it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Record(Frozen):
    """One row of a dataset."""

    dataset: ClassVar[str]
    """The dataset, and so the folder, that rows of this kind live in."""
    id_field: ClassVar[str]
    """The field that holds the row's id."""
    version: ClassVar[int] = 1
    """Raised when a field changes its meaning; written into every shard."""

    @property
    def key(self) -> str:
        """The row's id."""
        return str(getattr(self, self.id_field))


def content_id(*parts: Any) -> str:
    """Hash what a record is made from into its id: 20 hexadecimal digits, the same on every machine."""
    canonical = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).hexdigest()
