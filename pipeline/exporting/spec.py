"""Exporter specification: the tables of rows of a trainer, and its configuration files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.exporting.samples import Sample
from pipeline.rendering.chat_template import INLINE, MessageForm
from pipeline.rendering.chat_text import ChatText
from pipeline.rendering.stream_turn import StreamTurn
from schemas.exports import ExportSettings, Purpose, Split, TaskSelection, Trainer
from schemas.policies import STREAMED
from schemas.renderings import RenderingName

EVERY = tuple(RenderingName)
SEARCH_PORT = 8000
SEARCH_URL = f"http://127.0.0.1:{SEARCH_PORT}"
"""Search server that configurations name."""
INDEX = "RUN_OR_INDEX"
PLACEHOLDER = "MODEL"
"""Stands in a configuration for a model that was not named."""
MOST_BATCH = 256
TURNS = (RenderingName.QWEN_TOOLS, RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH)
"""Formats in which results stand in messages of their own, so that loss by message is loss in the right place."""


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Position of a row."""

    split: Split
    """Split of the row."""
    number: int
    """Index in the split, from 0."""


@dataclass(frozen=True, slots=True)
class Table:
    """Kind of row, with one file per split, or one per row."""

    purpose: Purpose
    """Purpose of the rows."""
    write: Callable[[Sample, RowPlace], dict[str, Any]]
    """Function that makes the row of a sample."""
    schema: pa.Schema | None = None
    """Columns of a Parquet file; None for JSON lines."""
    folder: str = ""
    """Folder inside the export."""
    sessions: bool = False
    """Whether a row is a file of its own: its `lines`, named by its `id`."""

    def name_file(self, split: Split) -> str:
        """Return the path of the file inside the export, or the pattern of its files."""
        if self.sessions:
            return f"{split}/*.jsonl"
        name = f"{split}.{'jsonl' if self.schema is None else 'parquet'}"
        return f"{self.folder}/{name}" if self.folder else name


@dataclass(frozen=True, slots=True)
class Written:
    """Files written, for the configuration and the card."""

    settings: ExportSettings
    """Settings of the export."""
    files: Mapping[Purpose, Mapping[Split, str]]
    """Files with rows, by purpose and split; paths inside the export."""
    rows: Mapping[Purpose, Mapping[Split, int]]
    """Number of rows, by purpose and split."""
    longest: int
    """Tokens of the longest row; 0 without a tokenizer."""
    shown: int
    """Most passages that one search showed."""
    searches: int
    """Searches that a rollout may make."""
    form: MessageForm | None = None
    """Form of the messages for the model's chat template; None without a tokenizer."""
    notes: tuple[str, ...] = ()
    """What a trainer and a server have to know of the chat template."""
    base: str | None = None
    """Model to be trained, as the user named it."""
    imported: bool = False
    """Whether others made the run, so that it has no index to search."""

    @property
    def switches(self) -> tuple[tuple[str, bool], ...]:
        """Return the variables that the chat template needs, with their values."""
        return self.form.switches if self.form else ()

    @property
    def model(self) -> str:
        """Return the model to be trained: as named, or that of the tokenizer if it is on the hub, or a placeholder."""
        name = self.settings.tokenizer or ""
        return self.base or (name if "/" in name else PLACEHOLDER)

    def choose_batch(self, split: Split = Split.TRAIN) -> int:
        """Return a batch size that the prompts fill: verl and its kin drop the last batch, and need one."""
        rows = self.rows[Purpose.RL]
        return 1 << (min(rows[split] or rows[Split.TRAIN], MOST_BATCH).bit_length() - 1)


@dataclass(frozen=True, slots=True)
class Exporter:
    """Exporter for one trainer."""

    trainer: Trainer
    """The trainer."""
    summary: str
    """Description of the files, in a line."""
    renderings: tuple[RenderingName, ...]
    """Formats in which all loss is in the right position, the default first."""
    build_tables: Callable[[RenderingName, MessageForm | None], tuple[Table, ...]]
    """Function that returns the tables of a format; a form of messages is given where there is a tokenizer."""
    write_configs: Callable[[Written], dict[str, str]] = lambda _: {}
    """Function that returns the trainer's own configuration: file names and texts."""
    command: str = ""
    """Command that starts the training in the folder of the export; empty for files that nobody trains on as such."""
    environment: str = ""
    """The environment of `rampforge env create` that holds the trainer, if any does."""
    token_renderings: tuple[RenderingName, ...] = ()
    """Formats that are exported as tokens, if a tokenizer is named; none if the trainer takes no tokens."""
    applies_template: bool = True
    """Whether the trainer writes messages with the model's chat template, rather than with one of its own."""
    sets_switches: bool = False
    """Whether its configuration sets variables of the template."""
    thought_field: str | None = None
    """Field of the thoughts, whatever the model; None for tags in the content, or where its template has a place."""
    pairs: bool = False
    """Whether a row is a pair of attempts."""
    searches: bool = False
    """Whether that training asks a search server."""
    withholding: tuple[RenderingName, ...] = ()
    """Formats in which its searches withhold the source passage of a row."""
    carries_reward: bool = False
    """Whether the export holds the reward function, and the modules that it imports."""

    def list_commands(self, written: Written, run: str, folder: str, programs: str = "") -> tuple[str, ...]:
        """Return the commands that start the training, in order, each for the shell's present folder.

        `run` and `folder`: of the run and of the export; `programs`: of the trainer's programs, if not on the PATH. All
        are quoted for a shell.
        """
        serve = f"rampforge search serve {INDEX if written.imported else run} --port {SEARCH_PORT}"
        path = f"PATH={programs}:$PATH " if programs else ""
        start = f"(cd {folder} && {path}{self.command})"
        commands = [serve, start] if self.searches else [start] if self.command else []
        if Purpose.RL in written.files and Purpose.SFT in written.files and written.settings.rendering in STREAMED:
            train = f"rampforge train rl {folder} -m {shlex.quote(written.model)} -o {folder}/rl-trained"
            commands += [serve, f"{train} --rendering {written.settings.rendering} --search {SEARCH_URL}"]
        return tuple(commands)

    def describe_model(self, written: Written) -> str:
        """Return what to do where the configuration needs a model that was not named; else nothing."""
        if written.model != PLACEHOLDER or not any(
            PLACEHOLDER in text for text in self.write_configs(written).values()
        ):
            return ""
        return f"{PLACEHOLDER} stands for the model to be trained: put in its name, or export again with --model NAME."

    def describe_environment(self) -> str:
        """Return how to get the trainer's programs; nothing where they are the user's own matter."""
        name = self.environment
        return f"`rampforge env create {name}` makes an environment that holds the trainer." if name else ""

    def describe_search(self, written: Written) -> tuple[str, ...]:
        """Return what to know of the searches of that training, in sentences."""
        if not self.searches:
            return ()
        notes = []
        if written.imported:
            notes.append(
                f"An imported run has no index: {INDEX} stands for a run or an index with the passages to search."
            )
        elif written.settings.rendering not in self.withholding:
            notes.append(
                "Searches withhold nothing: a rollout may be shown the passage that its row is made from "
                "(`extra_info.passage_id`)."
            )
        return tuple(notes)

    def choose_rendering(self, rendering: RenderingName | None, tokenised: bool) -> RenderingName:
        """Return the requested format, or the default. Raises ConfigError for one in which loss would be on results."""
        fit = self.token_renderings if tokenised and self.token_renderings else self.renderings
        if rendering is None:
            return fit[0]
        if rendering in fit:
            return rendering
        if rendering in self.token_renderings:
            raise ConfigError(
                f"{self.trainer} cannot keep loss off the results inside a message of {rendering}, but off tokens",
                f"set the model to be trained: --tokenizer MODEL, or --rendering {fit[0]}",
            )
        raise ConfigError(
            f"{self.trainer} cannot be fed with {rendering}: loss would not fall where it belongs",
            f"--rendering {fit[0]}" + (f", or one of {', '.join(fit[1:])}" if fit[1:] else ""),
        )

    def choose_form(self, chat: ChatText, rendering: RenderingName) -> MessageForm:
        """Return the form in which the messages of demonstrations are written.

        Raises ChatTemplateError when the chat template cannot express the format, ConfigError when it can, but not in
        this trainer's hands.
        """
        layout = chat.find_layout(rendering)
        if self.token_renderings:
            return MessageForm(switches=layout.form.switches)
        if not self.applies_template:
            return INLINE
        fault = None
        if layout.form.switches and not self.sets_switches:
            needed = ", ".join(f"{name}={value}" for name, value in layout.form.switches)
            fault = f"the chat template needs {needed}, which {self.trainer} cannot set"
        elif isinstance(layout, StreamTurn):
            if layout.lead.strip():
                fault = f"a stream begins after {layout.lead!r}, which {self.trainer} does not write"
        elif layout.as_served and any(t.purpose is Purpose.SFT for t in self.build_tables(rendering, None)):
            fault = "the chat template drops earlier thoughts from a conversation that has ended"
        if fault:
            fix = "export tokens (--to trl or --to axolotl); `rampforge templates check MODEL` shows every format"
            raise ConfigError(f"{rendering}: {fault}", fix)
        return layout.form

    def check(self, settings: ExportSettings) -> None:
        """Raise ConfigError for settings that this trainer's files do not support."""
        if settings.tokenizer is None and (settings.max_tokens or settings.train_observations):
            raise ConfigError("counting tokens needs a tokenizer", "set the model to be trained: --tokenizer MODEL")
        if settings.train_observations and not self.token_renderings:
            raise ConfigError(
                f"{self.trainer} makes the loss mask itself, and keeps it off results", "--to trl, or --to axolotl"
            )
        if settings.tasks is TaskSelection.ALL and all(
            table.purpose is not Purpose.RL for table in self.build_tables(settings.rendering, None)
        ):
            raise ConfigError(
                f"{self.trainer} needs demonstrations, which are made from accepted trajectories only",
                "--tasks accepted",
            )
