"""What a trainer needs: tables of rows, and files that make it read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.exporting.samples import Sample
from schemas.exports import ExportSettings, Purpose, Trainer
from schemas.renderings import RenderingName
from schemas.simulation import Split


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a row stands."""

    split: Split
    """Its split."""
    number: int
    """Its place in the split, from 0."""


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of row, in one file a split."""

    purpose: Purpose
    """What a row teaches with."""
    write: Callable[[Sample, RowPlace], dict[str, Any]]
    """Make the row of a sample."""
    schema: pa.Schema | None = None
    """Columns of a Parquet file; None for JSON lines."""
    folder: str = ""
    """Folder inside the export."""

    def name_file(self, split: Split) -> str:
        """Path of the file inside the export."""
        name = f"{split}.{'jsonl' if self.schema is None else 'parquet'}"
        return f"{self.folder}/{name}" if self.folder else name


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, for those who describe it."""

    settings: ExportSettings
    """What was chosen."""
    files: Mapping[Purpose, Mapping[Split, str]]
    """Files with rows, by what they teach with and split; paths inside the export."""
    longest: int
    """Tokens of the longest row; 0 where no tokenizer counted them."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """How a trainer is fed."""

    trainer: Trainer
    """The trainer."""
    renderings: tuple[RenderingName, ...]
    """Formats that it can be fed with all loss in the right place; the first is the usual one."""
    tables: tuple[Table, ...]
    """What is written."""
    write_configs: Callable[[Written], dict[str, str]]
    """The trainer's own configuration: file names and texts."""
    reads_tokens: bool = False
    """The rows are tokens of ours, so a tokenizer must be named."""
