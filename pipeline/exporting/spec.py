"""What a trainer needs: tables of rows, and files that make it read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.exporting.samples import Sample
from schemas.exports import ExportSettings, Purpose, Split, TaskSelection, Trainer
from schemas.renderings import RenderingName

EVERY = tuple(RenderingName)
TURNS = (RenderingName.QWEN_TOOLS, RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH)
"""Formats in which results stand in messages of their own, so that loss by message is loss in the right place."""


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

    @property
    def model(self) -> str:
        """The model to be trained, where it has a name on the hub; folders of this machine are told to nobody."""
        name = self.settings.tokenizer or ""
        return name if "/" in name else "MODEL"


@dataclass(frozen=True, slots=True)
class Exporter:
    """How a trainer is fed."""

    trainer: Trainer
    """The trainer."""
    summary: str
    """What is written, in a line."""
    renderings: tuple[RenderingName, ...]
    """Formats that it puts all loss in the right place of, the usual one first."""
    build_tables: Callable[[RenderingName, bool], tuple[Table, ...]]
    """What is written for a format, as tokens or not."""
    write_configs: Callable[[Written], dict[str, str]]
    """The trainer's own configuration: file names and texts."""
    token_renderings: tuple[RenderingName, ...] = ()
    """Formats that it is given as tokens, where a tokenizer is named; none where it takes no tokens."""

    def choose_rendering(self, rendering: RenderingName | None, tokenised: bool) -> RenderingName:
        """The format asked for, or the usual one. Raises ConfigError for one in which loss would fall on results."""
        fit = self.token_renderings if tokenised and self.token_renderings else self.renderings
        if rendering is None:
            return fit[0]
        if rendering in fit:
            return rendering
        if rendering in self.token_renderings:
            raise ConfigError(
                f"{self.trainer} cannot keep loss off the results inside a message of {rendering}, but off tokens",
                f"name the model to be trained: --tokenizer MODEL, or --rendering {fit[0]}",
            )
        raise ConfigError(
            f"{self.trainer} cannot be fed with {rendering}: loss would not fall where it belongs",
            f"--rendering {fit[0]}" + (f", or one of {', '.join(fit[1:])}" if fit[1:] else ""),
        )

    def check(self, settings: ExportSettings) -> None:
        """Raise ConfigError for settings that this trainer's files cannot carry."""
        if settings.tokenizer is None and (settings.max_tokens or settings.train_observations):
            raise ConfigError("nothing counts tokens", "name the model to be trained: --tokenizer MODEL")
        if settings.train_observations and not self.token_renderings:
            raise ConfigError(
                f"{self.trainer} makes the loss mask itself, and keeps it off results", "--to trl, or --to axolotl"
            )
        if settings.tasks is TaskSelection.ALL and all(
            table.purpose is Purpose.SFT for table in self.build_tables(settings.rendering, False)
        ):
            raise ConfigError(
                f"{self.trainer} needs demonstrations, which are made from accepted trajectories only",
                "--tasks accepted",
            )
