"""Rounds of a self-distillation: records of the dataset `rounds`, and their charts.

Guarantees: a record of another version is an error with its file; without rounds nothing is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from pydantic import ValidationError

from pipeline.charts.layout import Chart
from pipeline.distillation.rounds_page import list_charts
from pipeline.inspecting.locations import DataLocation
from pipeline.inspecting.shard_listing import SUFFIX
from schemas.rounds import RoundRecord


@dataclass(frozen=True, slots=True)
class RoundsView:
    """Rounds of one distillation."""

    name: str
    records: tuple[RoundRecord, ...]
    charts: tuple[Chart, ...]
    fault: str
    """Unreadable files; empty without any."""
    prefix: str
    """Prefix of the names of its runs."""


def view_rounds(place: DataLocation, name: str, prefix: str) -> RoundsView | None:
    """The rounds of a folder; None without any. Raises StorageError."""
    folder = next((child for child in place.children() if child.name == RoundRecord.dataset), None)
    records, faults = [], []
    if folder is None:
        return None
    for file in folder.files():
        if not file.name.endswith(SUFFIX) or file.is_outside:
            continue
        try:
            with folder.open(file) as shard:
                records += [RoundRecord.model_validate(row) for row in shard.read().to_pylist()]
        except (pa.ArrowException, OSError, ValidationError):
            faults.append(file.name)
    if not records and not faults:
        return None
    records.sort(key=lambda record: record.number)
    charts = tuple(chart for chart in list_charts(records) if chart) if records else ()
    fault = f"no complete record of this version: {', '.join(faults)}" if faults else ""
    return RoundsView(name, tuple(records), charts, fault, prefix)
