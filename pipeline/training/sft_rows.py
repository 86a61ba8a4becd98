"""Rows of supervised fine-tuning: whole, in order, none longer than the limit.

Rows come tokenised, `input_ids` and `labels`: a mask column beside the tokens alone is ignored by TRL without a word,
and text that the trainer tokenises again drifts from what serving shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.exporting.table_files import TableFile
from pipeline.rendering.token_masks import IGNORED
from pipeline.storage.files import wrap_os_errors
from pipeline.training.folders import TrainingFolder
from pipeline.training.requests import TrainingError
from schemas.funnel import FunnelStep

STAGE = "train"
TOO_LONG, NOTHING_TRAINED, UNEVEN, FOREIGN = "too_long", "nothing_trained", "uneven", "foreign_token"
TOKENS = ("input_ids", "labels")
SCHEMA = pa.schema([(name, pa.list_(pa.int32())) for name in TOKENS])
READ_TOGETHER = 512


@dataclass(frozen=True, slots=True)
class Admitted:
    """Result of admission."""

    funnel: FunnelStep
    """Number of rows, and reasons of rejects."""
    tokens: int
    """Tokens of the rows that passed."""
    trained: int
    """Tokens that carry loss."""
    longest: int
    """Tokens of the longest row that passed."""


def find_rows(data: Path, purpose: str = "sft") -> list[Path]:
    """Return the Parquet files of the training split of an export for TRL, in order; `purpose`: sft or rl.

    Raises TrainingError.
    """
    for folder in (data / purpose, data):
        found = sorted(path for path in folder.glob("*.parquet") if not path.stem.startswith(("validation", "test")))
        if found:
            return found
    raise TrainingError(f"{data} holds no Parquet files", "make them: rampforge export RUN --to trl --out FOLDER")


def read_parquet(files: Iterable[Path], columns: Sequence[str] = TOKENS) -> Iterator[dict[str, Any]]:
    """Return rows of files, in order. Raises TrainingError for a file without the columns."""
    for path in files:
        with wrap_os_errors(path):
            try:
                file = pq.ParquetFile(path)
            except pa.ArrowInvalid as error:
                raise TrainingError(f"{path}: not a whole Parquet file ({error})", "export the run again") from None
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            # Without tokens the text would be tokenised anew, and masks be lost.
            fix = "export it for TRL, with tokens: rampforge export RUN --to trl --tokenizer MODEL"
            raise TrainingError(f"{path} has no column {' and '.join(missing)}", fix)
        with file:
            for batch in file.iter_batches(READ_TOGETHER):
                yield from batch.to_pylist()


def admit_rows(rows: Iterable[Mapping[str, Any]], folder: TrainingFolder, max_length: int, vocabulary: int) -> Admitted:
    """Write the rows that can be trained on, and reject the others with reasons. Memory is flat.

    `vocabulary`: number of tokens of the model. Raises TrainingError when no row is left, and then nothing is
    in place.
    """
    rejected: Counter[str] = Counter()
    tokens = trained = longest = 0
    with TableFile(folder.rows, SCHEMA, {}) as file, TableFile(folder.rejects, None, {}) as rejects:
        for row in _sift(rows, rejects, rejected, max_length, vocabulary):
            file.append(row)
            tokens += len(row["input_ids"])
            trained += sum(label != IGNORED for label in row["labels"])
            longest = max(longest, len(row["input_ids"]))
    if not file.rows:
        why = ", ".join(f"{count} {reason}" for reason, count in rejected.items()) or "there is none"
        raise TrainingError(f"no row to train on: {why}", f"see {folder.rejects}; raise --max-length or choose more")
    entered = file.rows + rejected.total()
    funnel = FunnelStep(stage=STAGE, unit="row", entered=entered, passed=file.rows, rejected=dict(rejected))
    return Admitted(funnel, tokens, trained, longest)


def _sift(
    rows: Iterable[Mapping[str, Any]], rejects: TableFile, rejected: Counter[str], max_length: int, vocabulary: int
) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows):
        reason, detail = judge_row(row["input_ids"], row["labels"], max_length, vocabulary)
        if reason is None:
            yield {"input_ids": row["input_ids"], "labels": row["labels"]}
            continue
        rejected[reason] += 1
        name = next((str(row[key]) for key in ("trajectory_id", "row_id", "id") if row.get(key)), f"row {number}")
        rejects.append({"row": name, "reason": reason, "detail": detail})


def judge_row(ids: list[int], labels: list[int], max_length: int, vocabulary: int) -> tuple[str | None, str]:
    """Return why a row cannot be trained on, as code and detail; None if it can."""
    if len(ids) != len(labels):
        return UNEVEN, f"{len(ids)} tokens, {len(labels)} labels"
    if len(ids) > max_length:
        return TOO_LONG, f"{len(ids)} tokens, at most {max_length}"
    if any(not 0 <= token < vocabulary for token in ids):
        return FOREIGN, f"token {max(ids)}, the model knows {vocabulary}"
    if all(label == IGNORED for label in labels):
        return NOTHING_TRAINED, "no token carries loss"
    return None, ""
