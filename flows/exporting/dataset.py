"""Writer of a trainer's files from the shards of a judged run. Streaming: rows wait on disk, not in memory."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path

import orjson

from flows import trainer_rewards
from flows.configuration.provenance import rampforge_version
from flows.exporting.decontamination import Screen, Screening
from flows.exporting.read_examples import open_documents, read_examples
from flows.exporting.row_selection import RowSelection
from pipeline.errors import ConfigError
from pipeline.exporting.card import CardFacts, write_card
from pipeline.exporting.examples import NOT_ACCEPTED, ExampleSpill
from pipeline.exporting.pairs import NO_RIVAL, advise_pairs, pair_attempts
from pipeline.exporting.samples import make_samples
from pipeline.exporting.selection import REASONS, SHORTCUT, UNFIT, Choice, ExampleIndex
from pipeline.exporting.spec import Exporter, RowPlace, Table, Written
from pipeline.exporting.statistics import ExportStatistics
from pipeline.exporting.table_files import SessionFiles, TableFile
from pipeline.rendering.chat_template import INLINE
from pipeline.rendering.template_check import check_format
from pipeline.rendering.token_masks import MaskError, TokenMasker
from pipeline.storage.files import write_atomically
from pipeline.storage.new_folder import CARD, build_folder
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter
from pipeline.training.launching import copy_source
from schemas.config import StageName
from schemas.exports import ExportSettings, Purpose, Split, TrainingExample
from schemas.funnel import FunnelStep, Reject
from schemas.policies import STREAMED
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

REJECTS, STATISTICS = "rejects.parquet", "statistics.json"
SOURCE = "source"
"""Folder of the modules that a reward imports."""
DEFAULT_SHOWN = 3
"""Passages of a search where the rows show none."""
LEAST_SEARCHES = 4
"""Searches that a rollout may make at least, however few the rows needed."""
BATCH = 64
"""Examples rendered and tokenised in one batch."""


@dataclass(frozen=True, slots=True)
class Exported:
    """Result of an export."""

    folder: Path
    files: dict[str, int]
    """Files, with their number of rows."""
    configs: tuple[str, ...]
    written: Written
    """What the configuration was made from."""
    funnel: tuple[FunnelStep, ...]


def export_dataset(
    run: RunFolder,
    out: Path,
    settings: ExportSettings,
    exporter: Exporter,
    masker: TokenMasker | None = None,
    screen: Screen | None = None,
    base: str | None = None,
) -> Exported:
    """Write the files of a trainer, its configuration, rejects, statistics and a card.

    `screen`: benchmark questions; examples that overlap them are left out. `base`: model to be trained, for the
    configuration. Raises ConfigError if nothing is left, StorageError, also where the run is not judged.
    """
    run.manifest(StageName.JUDGEMENTS)
    _refuse_others(out, exporter.build_tables(settings.rendering, None))
    with ExitStack() as stack:
        folder = stack.enter_context(build_folder(out))
        spill = ExampleSpill(stack.enter_context(tempfile.TemporaryFile(dir=folder)))
        index = ExampleIndex(settings)
        rejects = stack.enter_context(ShardWriter(folder, REJECTS, Reject, {"version": rampforge_version()}))
        gate = _Gate(RowSelection(run, settings, rejects), Screening(screen, rejects))
        find = open_documents(run) if settings.single_queries and settings.rendering in STREAMED else None
        examples = read_examples(run, gate.admits, find, wrong=exporter.pairs)
        for example in pair_attempts(examples) if exporter.pairs else examples:
            index.append(example, spill.append(example))
        work = _Work(folder, settings, exporter, masker, spill, index, rejects)
        done = {table.purpose: work.write(table) for table in work.tables}
        if empty := next((table for table in done.values() if not table.rows[Split.TRAIN]), None):
            raise ConfigError(*_explain_nothing(run, empty.step, gate))
        rejects.close()
        exported = _describe(run, work, done, gate, base)
        _drop_rows(out, work.tables)
    return replace(exported, folder=out)


def _refuse_others(out: Path, tables: Sequence[Table]) -> None:
    """Raise ConfigError for a folder with files that an export would replace and that no export wrote."""
    kept = [path for path in (out / CARD, *_list_rows(out, tables)) if path.exists()]
    if kept and not (out / STATISTICS).exists():
        raise ConfigError(f"{kept[0]} is not part of an export, and would be replaced", "name another folder")


def _drop_rows(out: Path, tables: Sequence[Table]) -> None:
    """Remove the rows of an earlier export to the same folder."""
    for path in _list_rows(out, tables):
        path.unlink()


def _list_rows(out: Path, tables: Sequence[Table]) -> list[Path]:
    return [path for table in tables for split in Split for path in out.glob(table.name_file(split))]


def read_day(folder: RunFolder) -> date | None:
    """Return the day on which a run, or the run of an export, began."""
    if record := folder.find_record():
        return record.day
    statistics = folder.root / STATISTICS
    day = orjson.loads(statistics.read_bytes()).get("day") if statistics.is_file() else None
    return date.fromisoformat(day) if day else None


@dataclass(frozen=True, slots=True)
class _Gate:
    """What decides on a trajectory before it becomes an example."""

    selection: RowSelection
    screening: Screening

    def admits(self, task: MaskTask, trajectory: Trajectory) -> bool:
        """Whether a trajectory may become an example."""
        return self.selection.admits(trajectory) and self.screening.admits(task, trajectory)

    def funnel(self) -> tuple[FunnelStep, ...]:
        """Return the totals."""
        return (*self.selection.funnel(), *self.screening.funnel())


@dataclass(frozen=True, slots=True)
class _Done:
    """Table that is written."""

    step: FunnelStep
    rows: dict[Split, int]
    statistics: ExportStatistics
    columns: tuple[str, ...]


class _Work:
    """Export in progress."""

    def __init__(
        self,
        out: Path,
        settings: ExportSettings,
        exporter: Exporter,
        masker: TokenMasker | None,
        spill: ExampleSpill,
        index: ExampleIndex,
        rejects: ShardWriter,
    ) -> None:
        self.out, self.settings, self.exporter = out, settings, exporter
        self.form = exporter.choose_form(masker.chat, settings.rendering) if masker else None
        self.notes = check_format(masker.chat, settings.rendering).notes if masker else ()
        self.tables = exporter.build_tables(settings.rendering, self.form)
        self._masker, self._spill, self._index, self._rejects = masker, spill, index, rejects
        chosen = settings.model_dump_json()
        self._facts = {"rampforge.version": rampforge_version(), "rampforge.export": chosen}

    def write(self, table: Table) -> _Done:
        """Write the rows of a table, split by split, and the rejects."""
        stage = f"export-{table.purpose}"
        choice = self._index.choose(table.purpose)
        reasons: Counter[str] = Counter()
        statistics = ExportStatistics()
        rows: dict[Split, int] = {}
        columns: tuple[str, ...] = ()
        for split in Split:
            path = self.out / table.name_file(split)
            opened = SessionFiles(path.parent) if table.sessions else TableFile(path, table.schema, self._facts)
            with opened as file:
                for reject in self._fill(file, table, split, choice, statistics):
                    reasons[reject.reason] += 1
                    self._rejects.append(reject.model_dump(mode="json"))
            rows[split], columns = file.rows, columns or file.columns
        for reject in self._leave_out(stage, choice):
            reasons[reject.reason] += 1
            self._rejects.append(reject.model_dump(mode="json"))
        step = FunnelStep(
            stage=stage,
            unit="trajectory",
            entered=len(self._index),
            passed=sum(rows.values()),
            rejected=dict(sorted(reasons.items())),
        )
        return _Done(step, rows, statistics, columns)

    def _fill(
        self, file: TableFile | SessionFiles, table: Table, split: Split, choice: Choice, statistics: ExportStatistics
    ) -> Iterator[Reject]:
        """Write the rows of a split; return as rejects those that cannot become rows."""
        examples = self._spill.read(self._index.places(choice.splits[split]))
        while batch := list(islice(examples, BATCH)):
            samples = make_samples(batch, self.settings, table.purpose, self._masker, self.form or INLINE)
            for example, sample in zip(batch, samples, strict=True):
                if isinstance(sample, MaskError):
                    yield _reject(f"export-{table.purpose}", example, sample.reason, sample.detail)
                else:
                    file.append(table.write(sample, RowPlace(split, file.rows)))
                    statistics.count(sample, split)

    def _leave_out(self, stage: str, choice: Choice) -> Iterator[Reject]:
        numbers = choice.codes.nonzero()[0]
        for number, example in zip(numbers, self._spill.read(self._index.places(numbers)), strict=True):
            if REASONS[choice.codes[number]] == UNFIT:
                yield _reject(stage, example, example.fault or UNFIT, example.fault_detail)
            else:
                yield _reject(stage, example, REASONS[choice.codes[number]])


def _reject(stage: str, example: TrainingExample, reason: str, detail: str = "") -> Reject:
    return Reject(stage=stage, unit="trajectory", input_id=example.trajectory_id, reason=reason, detail=detail)


def _explain_nothing(run: RunFolder, step: FunnelStep, gate: _Gate) -> tuple[str, str]:
    """Return the reason why there is no row to train on, and the fix."""
    if not step.entered and any(before.entered for before in gate.funnel()):
        reasons = ", ".join(f"{why} {count:,}" for before in gate.funnel() for why, count in before.rejected.items())
        return f"nothing to export: no trajectory is left ({reasons})", "loosen --where"
    if step.passed:
        return (
            f"nothing to train on: all {step.passed:,} rows fell into validation",
            "lower --split, or use more pages",
        )
    if not step.entered:
        return f"{run.root} has no trajectories", f"rampforge report {run.root} shows what was rejected, and why"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in step.rejected.items())
    fix = f"rampforge report {run.root} shows why trajectories are not accepted"
    if NO_RIVAL in step.rejected:
        fix = advise_pairs(run.record(), run.location)
    elif SHORTCUT in step.rejected:
        fix = (
            "--shortcuts keeps attempts that were shown their own passage; masking.evidence=passage makes tasks without"
        )
    elif set(step.rejected) - {NOT_ACCEPTED}:
        fix = f"loosen --max-tokens or the caps; {fix}"
    return f"nothing to export: of {step.entered:,} trajectories none is left ({reasons})", fix


def _describe(run: RunFolder, work: _Work, done: dict[Purpose, _Done], gate: _Gate, base: str | None) -> Exported:
    """Write the description of the rows: the trainer's configuration, statistics.json, README.md."""
    out, exporter, settings, record = work.out, work.exporter, work.settings, run.record()
    files = {
        table.purpose: {split: table.name_file(split) for split in Split if done[table.purpose].rows[split]}
        for table in work.tables
    }
    counted = [table.statistics for table in done.values()]
    written = Written(
        settings,
        files,
        rows={purpose: table.rows for purpose, table in done.items()},
        longest=max(one.longest for one in counted),
        shown=max(one.most_shown for one in counted) or DEFAULT_SHOWN,
        searches=max(LEAST_SEARCHES, *(one.most_searches for one in counted)),
        form=work.form,
        notes=work.notes,
        base=base,
        imported=record.imported is not None,
    )
    configs = exporter.write_configs(written)
    if exporter.carries_reward:
        copy_source(out / SOURCE)
        rewards = Path(str(trainer_rewards.__file__))
        write_atomically(out / SOURCE / rewards.name, rewards.read_bytes())
    statistics = {purpose: table.statistics.describe() for purpose, table in done.items()}
    funnel = (*gate.funnel(), *(table.step for table in done.values()))
    about = {
        "settings": settings.model_dump(mode="json"),
        "day": record.day,
        "tables": statistics,
        "funnel": [step.model_dump() for step in funnel],
        "decontamination": gate.screening.describe(),
    }
    columns = {purpose: table.columns for purpose, table in done.items()}
    card = write_card(CardFacts(exporter, written, record, statistics, funnel, columns, gate.screening.describe()))
    for name, text in configs.items():
        write_atomically(out / name, text.encode())
    write_atomically(out / STATISTICS, orjson.dumps(about, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
    write_atomically(out / CARD, card.encode())
    rows = {file: done[purpose].rows[split] for purpose, some in files.items() for split, file in some.items()}
    return Exported(out, rows, tuple(configs), written, funnel)
