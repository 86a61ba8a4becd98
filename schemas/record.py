"""Base classes of every record, and the hash that gives a record its id.

Guarantees: a record cannot change after it is made, rejects unknown keys, and its id is a hash of what it is made from,
never of the time or the machine it was made on.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

ID_BYTES = 10  # 80 bits: a collision is expected at about 10^12 records


class Frozen(BaseModel):
    """Value inside a record: frozen, closed, with every field documented by the sentence under it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Record(Frozen):
    """Row of a dataset."""

    dataset: ClassVar[str]
    """Name of the dataset, and so of the folder, that holds rows of this kind."""
    id_field: ClassVar[str]
    """Field that holds the row's id."""
    references: ClassVar[dict[str, str]] = {}
    """Datasets whose ids its columns hold, by column."""
    version: ClassVar[int] = 1
    """Incremented when a field changes its meaning; written into every shard."""

    @property
    def key(self) -> str:
        """Return the row's id."""
        return str(getattr(self, self.id_field))


def content_id(*parts: Any) -> str:
    """Hash what a record is made from into its id: 20 hexadecimal digits, the same on every machine."""
    canonical = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).hexdigest()
