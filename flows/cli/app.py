"""Entry point of the command line, `rampforge`. Every error is one line with the cause, then the next command."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from flows.cli.assets import assets_app
from flows.cli.audit import audit
from flows.cli.calibrate import calibrate
from flows.cli.deploy import deploy
from flows.cli.distill import distill, lab
from flows.cli.doctor import doctor
from flows.cli.env import env_app
from flows.cli.evaluate import evaluate_benchmark
from flows.cli.export import export
from flows.cli.gc import collect_garbage
from flows.cli.import_rows import import_files
from flows.cli.inspect import inspect
from flows.cli.labels import labels_app
from flows.cli.options import Config, EngineName, OtherVersion, Overrides, PlainHelpCommand, RayAddress, place_work
from flows.cli.plan import plan
from flows.cli.review import review_app
from flows.cli.rewards import rewards_app
from flows.cli.search import search_app
from flows.cli.show_mask import show_mask
from flows.cli.templates import templates_app
from flows.cli.train import train_app
from flows.cli.verify import verify
from flows.configuration.cache import cache_folder
from flows.configuration.run_config import load_config, write_yaml
from flows.prefect_api.settings import settle_prefect
from flows.process.logs import VARIABLE as LOG_FORMAT
from flows.process.logs import LogFormat, listen_to_ourselves
from flows.stages.registry import STAGES, list_commands
from flows.stages.spec import StageSpec
from pipeline.errors import ConfigError, RampforgeError
from pipeline.storage.near_runs import suggest_runs
from pipeline.storage.remote.open_run import join_location, open_run
from schemas.config import RunConfig, StageName

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Turn Wikipedia into training data that teaches language models to search.\n\n"
        "Run the whole pipeline on a sample, without API key, GPU or server:\n\n"
        "    rampforge assets get demo\n\n"
        "    rampforge run --config demo --name demo\n\n"
        "A run is the folder outputs/NAME: Parquet shards, run.json, report.html. It can be interrupted at any time "
        "and resumed with `rampforge resume outputs/NAME`; finished work is not repeated."
    ),
)
app.add_typer(assets_app, name="assets")
app.add_typer(env_app, name="env")
app.add_typer(rewards_app, name="rewards")
app.add_typer(search_app, name="search")
app.add_typer(review_app, name="review")
app.add_typer(labels_app, name="labels")
app.add_typer(templates_app, name="templates")
app.add_typer(train_app, name="train")
app.command("deploy")(deploy)
app.command("doctor")(doctor)
app.command("plan")(plan)
app.command("calibrate")(calibrate)
app.command("distill")(distill)
app.command("lab")(lab)
app.command("export", cls=PlainHelpCommand)(export)
app.command("show-mask")(show_mask)
app.command("import")(import_files)
app.command("inspect")(inspect)
app.command("audit")(audit)
app.command("gc")(collect_garbage)
app.command("verify")(verify)
app.command("eval")(evaluate_benchmark)
console = Console(stderr=True)

Sources = Annotated[
    list[str] | None, typer.Argument(help="Dumps, Parquet or JSON Lines files, folders; default: corpus.sources.")
]
Redo = Annotated[str | None, typer.Option(metavar="STAGE", help="Discard this stage and all later ones first.")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Folder of the run, e.g. outputs/demo, or its URL.")]


@app.callback()
def main_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the log of Prefect.")] = False,
    log_format: Annotated[
        LogFormat, typer.Option(envvar=LOG_FORMAT, help="Format of standard error: text for people, or JSON lines.")
    ] = LogFormat.TEXT,
) -> None:
    """Apply the options common to all commands."""
    os.environ[LOG_FORMAT] = log_format  # inherited by subprocesses
    listen_to_ourselves(logging.INFO if debug or log_format is LogFormat.JSON else logging.WARNING)
    settle_prefect(debug)


@app.command()
def run(
    sources: Sources = None,
    config: Config = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: the config's name.")] = None,
    out: Annotated[
        str, typer.Option(help="Parent folder of the run, or a URL such as s3://BUCKET/outputs.")
    ] = "outputs",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of tasks (masking.limit).")] = None,
    overrides: Overrides = None,
    redo: Redo = None,
    engine: EngineName = None,
    ray_address: RayAddress = None,
    other_version: OtherVersion = False,
) -> None:
    """Run the whole pipeline: pages, passages, tasks, trajectories, judgements, report.

    An existing run is resumed, provided that its configuration is the same.
    """
    placing = place_work(engine, ray_address)
    settings = load_config(config, [*(overrides or []), *_shorthands(sources, limit), *placing])
    if not settings.corpus.sources:
        raise ConfigError("no sources: corpus.sources is empty", "rampforge run DUMP.xml.bz2, or --config demo")
    folder = join_location(out, name or (Path(config).stem if config else "run"))
    _do_stages(folder, settings, redo=redo, other_version=other_version)


@app.command()
def resume(
    folder: RunArgument,
    overrides: Overrides = None,
    redo: Redo = None,
    engine: EngineName = None,
    ray_address: RayAddress = None,
    other_version: OtherVersion = False,
) -> None:
    """Resume an interrupted run with its own configuration, or make it again from a stage on.

    `--set` may change settings that do not affect rows, such as llm.budget.money.
    """
    changes = [*(overrides or []), *place_work(engine, ray_address)]
    _do_stages(folder, load_config(None, changes, _config_of(folder)), redo=redo, other_version=other_version)


@app.command("config")
def show_config(config: Config = None, overrides: Overrides = None) -> None:
    """Print a configuration with the meaning of every key, as a file to edit and pass to --config."""
    sys.stdout.write(write_yaml(load_config(config, overrides or [])))


def _shorthands(sources: list[str] | None, limit: int | None) -> list[str]:
    """Return the `--set` values that other options abbreviate."""
    shorthands = [f"corpus.sources={json.dumps(sources, ensure_ascii=False)}"] if sources else []
    return shorthands + ([f"masking.limit={limit}"] if limit else [])


def _config_of(folder: str) -> RunConfig:
    from flows.configuration.recalled_config import recall_config

    return recall_config(open_run(folder, cache_folder()))


def _do_stages(
    folder: str,
    settings: RunConfig,
    stages: Sequence[StageName] | None = None,
    redo: str | None = None,
    other_version: bool = False,
) -> None:
    """Finish stages of a run, all of them by default, and print a summary."""
    console.print(f"starting {folder} ...", highlight=False, markup=False, soft_wrap=True)  # imports take seconds
    from flows.cli.run_summary import print_summary
    from flows.execution.run import start_job

    start_job(folder, settings, cache_folder(), list(stages or STAGES), redo, other_version)
    print_summary(open_run(folder, cache_folder()), console)


def _run_stages(
    folder: str, stages: list[StageName], config: str | None, overrides: list[str], other_version: bool
) -> None:
    run = open_run(folder, cache_folder())
    base = _config_of(folder) if run.find_record() else None
    if base is None and StageName.CORPUS not in stages and not run.stages():
        raise ConfigError(f"{folder} is not a run", suggest_runs(folder))
    # A report shows the current state of the run, so it is always drawn anew.
    redo = StageName.REPORT if stages == [StageName.REPORT] else None
    _do_stages(folder, load_config(config, overrides, base), stages, redo, other_version)


def _add_stage_command(name: str, specs: Sequence[StageSpec]) -> None:
    """Add a command that runs some stages over the shards of a run."""

    def command(
        folder: RunArgument, config: Config = None, overrides: Overrides = None, other_version: OtherVersion = False
    ) -> None:
        _run_stages(folder, [spec.name for spec in specs], config, overrides or [], other_version)

    command.__doc__ = " ".join(spec.summary for spec in specs)
    app.command(name)(command)


@app.command()
def corpus(
    folder: RunArgument,
    sources: Sources = None,
    config: Config = None,
    overrides: Overrides = None,
    other_version: OtherVersion = False,
) -> None:
    """Read the sources into cleaned documents (documents/, redirects/)."""
    _run_stages(folder, [StageName.CORPUS], config, [*(overrides or []), *_shorthands(sources, None)], other_version)


for _name, _specs in list_commands().items():
    if _name != StageName.CORPUS:
        _add_stage_command(_name, _specs)


def main() -> None:
    """Run the command line. Errors become one line, the next command, and exit code 1; SIGTERM acts like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        console.print("stopped; finished records are kept: resume with `rampforge resume RUN`")
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        what, fix = _explain(error)
        console.print(Text.assemble(("error: ", "bold red"), what), soft_wrap=True)
        if fix:
            console.print(Text.assemble(("next:  ", "bold"), fix), soft_wrap=True)
        sys.exit(1)


def _explain(error: Exception) -> tuple[str, str]:
    if isinstance(error, RampforgeError):
        return error.what, error.fix
    return f"{type(error).__name__}: {error}", "this is a bug in rampforge: `rampforge --debug ...` shows the traceback"
