"""Exports: the files of a trainer from a judged run."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

from flows.configuration.cache import cache_folder
from pipeline.errors import ConfigError
from pipeline.storage.remote.open_run import join_location
from pipeline.storage.remote.transfer import put_when_done
from pipeline.storage.run_folder import RunFolder
from rampforge.opened_run import Run, open_run
from schemas.exports import RowOrder, TaskSelection, Trainer
from schemas.renderings import RenderingName

if TYPE_CHECKING:
    from flows.exporting.dataset import Exported


Kind = TypeVar("Kind", bound=StrEnum)


class ExportOptions(TypedDict, total=False):
    """Options of an export; `schemas.exports.ExportSettings` documents each, and its default."""

    where: str | None
    reviewed: bool
    shortcuts: bool
    tasks: TaskSelection | str
    order: RowOrder | str
    split: float
    max_per_page: int | None
    max_per_kind: int | None
    max_closed_book: float | None
    learnable: bool
    max_tokens: int | None
    train_observations: bool
    single_queries: bool
    seed: int


def export(
    run: str | Path | Run,
    to: Trainer | str,
    out: str | Path | None = None,
    *,
    rendering: RenderingName | str | None = None,
    tokenizer: str | Path | None = None,
    model: str | Path | None = None,
    decontaminate: Sequence[str | Path] = (),
    decontaminate_run: bool = True,
    **options: Unpack[ExportOptions],
) -> Exported:
    """Write what a trainer reads: its files, its own configuration, a dataset card, and what was left out and why.

        done = rampforge.export("outputs/demo", "trl", "trl", split=0.05)
        print(done.files, done.funnel)

    Args:
        run: A judged run's folder or URL, or what `open_run` returned.
        to: The trainer, such as `trl`, `verl-rl` or `llamafactory`.
        out: Folder or URL; by default RUN/exports/TRAINER.
        rendering: Format of the conversations; by default the trainer's usual one.
        tokenizer: Model whose tokenizer counts tokens; TRL and axolotl then get tokens and labels.
        model: Model to be trained, for the trainer's own configuration.
        decontaminate: Benchmarks whose questions no row may overlap, besides those that the run names.
        decontaminate_run: False for no such check at all.
        options: See ExportOptions.

    Raises:
        RampforgeError: Anything that a user can mend.
    """
    from flows.cli.locations import fetch_whole_run
    from flows.exporting.job import choose_settings, export_run

    source = run if isinstance(run, Run) else open_run(run)
    trainer, words = _choose(Trainer, to, "trainer"), None if tokenizer is None else str(tokenizer)
    form = None if rendering is None else _choose(RenderingName, rendering, "rendering")
    settings = choose_settings(trainer, form, words, **options)
    target = join_location(source.location, f"exports/{trainer}") if out is None else str(out)
    with put_when_done(target, cache_folder()) as place:
        folder = RunFolder(fetch_whole_run(source.location))
        base = None if model is None else str(model)
        return export_run(folder, place, settings, words, list(map(str, decontaminate)), decontaminate_run, base)


def _choose(kinds: type[Kind], name: str, what: str) -> Kind:
    try:
        return kinds(name)
    except ValueError:
        raise ConfigError(f"there is no {what} {name}", f"take one of {', '.join(kinds)}") from None
