"""An export from the options of a user: settings checked, tokenizer and screen opened, files written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.configuration.cache import cache_folder
from flows.configuration.run_config import explain_faults
from flows.exporting.dataset import Exported, export_dataset
from flows.exporting.decontamination import open_run_screen
from flows.models.tokenizers import open_masker
from pipeline.assets.store import resolve_model
from pipeline.errors import ConfigError
from pipeline.exporting.registry import EXPORTERS
from pipeline.storage.run_folder import RunFolder
from schemas.exports import ExportSettings, Trainer
from schemas.renderings import RenderingName


def choose_settings(
    trainer: Trainer, rendering: RenderingName | None, tokenizer: str | None, **options: Any
) -> ExportSettings:
    """The settings of an export, its rendering chosen. `options`: other fields of ExportSettings.

    Raises ConfigError for what this trainer's files cannot carry.
    """
    exporter = EXPORTERS[trainer]
    try:
        settings = ExportSettings(
            trainer=trainer,
            rendering=exporter.choose_rendering(rendering, tokenizer is not None),
            tokenizer=None if tokenizer is None else Path(tokenizer).name if Path(tokenizer).is_dir() else tokenizer,
            **options,
        )
    except ValidationError as error:
        raise ConfigError(f"export: {explain_faults(error)}", "`rampforge export --help` names the options") from None
    exporter.check(settings)
    return settings


def export_run(
    run: RunFolder,
    out: Path,
    settings: ExportSettings,
    tokenizer: str | None,
    decontaminate: Sequence[str] = (),
    decontaminate_run: bool = True,
    model: str | None = None,
) -> Exported:
    """Write the files, without what overlaps the questions of benchmarks. Raises RampforgeError.

    `decontaminate`: benchmarks besides those that the run names; `decontaminate_run`: False for no benchmark at all;
    `model`: model to be trained, for the trainer's configuration: a name, an asset or a folder.
    """
    masker = open_masker(tokenizer, settings.train_observations, run.record().day) if tokenizer else None
    screen = open_run_screen(run, cache_folder(), decontaminate) if decontaminate_run else None
    base = None
    if model is not None:
        found = resolve_model(model, cache_folder())
        base = str(found.resolve() if isinstance(found, Path) else found)
    return export_dataset(run, out, settings, EXPORTERS[settings.trainer], masker, screen, base)
