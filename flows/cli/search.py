"""Command `rampforge search`: serving of an index to trainers, and manual queries."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from flows.cli.locations import JudgedRun, fetch_index
from pipeline.errors import ConfigError
from pipeline.search.engine import FoundPassage
from pipeline.search.tokens import STOPWORDS_EN
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.search_config import EngineKind
from schemas.trajectories import HideMode, SearchCall, SearchStatus

if TYPE_CHECKING:
    from pipeline.search_server.settings import ServerSettings

search_app = typer.Typer(no_args_is_help=True, help="Serve a search index, or query a search engine.")
QUERY_CHARS = 200
WORD = re.compile(r"\w+")

Engine = Annotated[EngineKind | None, typer.Option(help="Search engine; default: that of the run.")]


@search_app.command()
def serve(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_OR_INDEX", help="Run or index, a path or a URL.", parser=fetch_index)
    ],
    host: Annotated[str, typer.Option(help="Address to bind; any but the loopback needs --token-env.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 8000,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; default: one per core.")] = None,
    queue: Annotated[int, typer.Option(min=1, help="Maximum queued queries per worker.")] = 4096,
    k: Annotated[int | None, typer.Option(min=1, max=100, help="Default number of documents per query.")] = None,
    token_env: Annotated[
        str | None, typer.Option(help="NAME of the environment variable with the token that clients must send.")
    ] = None,
    hide: Annotated[
        HideMode,
        typer.Option(help="What of its source is hidden from each task; a request must then name a task of the run."),
    ] = HideMode.NONE,
    engine: Engine = None,
) -> None:
    """Serve an index with the protocols of the field's retrieval servers, and its pages. See /docs for the protocols.

    Search-R1, ZeroSearch, SkyRL, verl, slime and ASearcher send POST /retrieve; ReSearch and ReCall /search and
    /batch_search; R1-Searcher /queries; OpenResearcher and clients of Serper /search. POST /open, /find, /access and
    /get_content read the pages of the corpus; /mcp speaks the Model Context Protocol.

    With --hide passage (or page) a request names its task by the header `x-rampforge-task: TASK_ID` or by
    `?task=TASK_ID`, and neither searches nor pages show its source or near-copies of it.

    Remote, simulated and custom engines are served by a single process. With --token-env, clients send
    `Authorization: Bearer TOKEN`; clients that accept only a URL use http://HOST:PORT/t/TOKEN/retrieve.
    """
    from flows.search_engines.by_hand import open_searcher
    from flows.search_engines.registry import ENGINES
    from flows.search_engines.task_sources import read_sources
    from pipeline.search_server.settings import ServerSettings

    index, config = _locate(folder, engine)
    kind, cores = config.search.engine, os.cpu_count() or 1
    console = Console(stderr=True)
    console.print(describe_memory(index), soft_wrap=True)
    # Workers that each use every core for one batch would slow each other down.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // (workers or cores))))
    # The answers of a remote engine are cached in files with a single writer.
    workers = 1 if ENGINES[kind].open_source else workers or cores
    if hide is not HideMode.NONE and ENGINES[kind].open_source:
        raise ConfigError(f"the engine {kind} hides no sources of tasks", "serve an index: --engine bm25")
    sources = partial(read_sources, folder, hide) if hide is not HideMode.NONE else None
    settings = ServerSettings(
        open_engine=partial(open_searcher, folder, index, config, "served"),
        index=None if ENGINES[kind].open_source else index,
        open_sources=sources,
        host=host,
        port=port,
        workers=workers,
        queue=queue,
        gather=ENGINES[kind].batch,
        hang_seconds=ENGINES[kind].hang_seconds,
        k=k or config.search.k,
        token=_read_token(host, token_env),
    )
    _serve(settings, f"{kind} over {index}", token_env, console)


def _read_token(host: str, token_env: str | None) -> str | None:
    """The token that clients must send. Raises ConfigError where other machines could connect without one."""
    from flows.models.credentials import read_token
    from pipeline.search_server.settings import LOOPBACK_HOSTS

    if host not in LOOPBACK_HOSTS and token_env is None:
        what = f"{host} is reachable from other machines: a token is required"
        raise ConfigError(what, "export NAME=..., then --token-env NAME")
    return read_token(token_env, "--token-env")


def _serve(settings: ServerSettings, engine: str, token_env: str | None, console: Console) -> None:
    """Serve until a signal. `engine`: what is served, for a message."""
    from pipeline.search_server.supervisor import SearchServer

    if settings.open_sources:
        console.print(f"sources of {len(settings.open_sources()):,} tasks are hidden: a request names its task")
    with SearchServer(settings) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        server.watch(until_ready=True)
        if server.ready:
            url = f"http://{settings.host}:{server.port}"
            console.print(f"{engine} at {url}, {settings.workers} workers", soft_wrap=True)
            console.print("POST /retrieve /search /open /find /mcp, GET /healthz /metrics /docs; stop with Ctrl-C")
            if token_env:
                console.print(f"for clients that accept only a URL: {url}/t/${token_env}/retrieve", soft_wrap=True)
        server.watch()


@search_app.command("mcp")
def serve_mcp(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_OR_INDEX", help="Run or index, a path or a URL.", parser=fetch_index)
    ],
    hide: Annotated[HideMode, typer.Option(help="What of its source is hidden from each task.")] = HideMode.NONE,
    task: Annotated[
        str | None, typer.Option(help="Task of all calls, with --hide; default: each call names it in its `_meta`.")
    ] = None,
    k: Annotated[int | None, typer.Option(min=1, max=50, help="Default number of documents per query.")] = None,
) -> None:
    """Serve an index to one client by the Model Context Protocol, over standard input and output.

    Tools: search, open, find, fetch. `rampforge search serve` serves the same at /mcp, to many clients.

    Example, as the configuration of a client: `{"command": "rampforge", "args": ["search", "mcp", "outputs/demo"]}`
    """
    from flows.search_engines.by_hand import open_searcher
    from flows.search_engines.registry import ENGINES
    from flows.search_engines.task_sources import read_sources
    from pipeline.search.copy_hiding import CopyHidingEngine
    from pipeline.search.index.passage_store import KIND, PassageStore
    from pipeline.search.page_reader import PageReader
    from pipeline.search_server.mcp_tools import IndexTools
    from pipeline.search_server.task_sources import NoTaskError, TaskSources

    index, config = _locate(folder, None)
    if ENGINES[config.search.engine].open_source:
        config = config.with_section("search", engine=EngineKind.BM25)
    sources = TaskSources(None if hide is HideMode.NONE else read_sources(folder, hide))
    try:
        sources.find([task] if task else [])
    except NoTaskError as error:
        if task:
            raise ConfigError(f"{task}: {error}", f"`rampforge inspect {folder} --dataset tasks` lists them") from None
    engine = open_searcher(folder, index, config, "served")
    reader = PageReader(PassageStore(index / KIND))
    searched = engine if hide is HideMode.NONE else CopyHidingEngine(engine)
    IndexTools(searched, reader, sources, k or config.search.k, task).make_server().run("stdio")


@search_app.command()
def query(
    queries: Annotated[list[str], typer.Argument(metavar="QUERY...", help="Queries.")],
    index: Annotated[
        Path,
        typer.Option(
            "--index", "-i", metavar="RUN_OR_INDEX", help="Run or index, a path or a URL.", parser=fetch_index
        ),
    ],
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="Passages per query.")] = 5,
    engine: Engine = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per query.")] = False,
) -> None:
    """Search an index, or with the configured engine of a run, and print the results."""
    from flows.search_engines.by_hand import open_searcher
    from pipeline.search.engine import SearchRequest

    if not all(map(str.strip, queries)):
        raise ConfigError("a query is empty", 'rampforge search query "who founded the school" --index RUN')
    searcher = open_searcher(index, *_locate(index, engine))
    calls = searcher.search([SearchRequest(query) for query in queries], k)
    for call in calls:
        passages = searcher.read([hit.passage_id for hit in call.hits])
        if as_json:
            typer.echo(json.dumps(describe_call(call, passages), ensure_ascii=False))
        else:
            show_call(Console(), call, passages)
    if any(call.status in (SearchStatus.ERROR, SearchStatus.TIMEOUT) for call in calls):
        raise typer.Exit(1)


def _locate(folder: Path, engine: EngineKind | None) -> tuple[Path, RunConfig]:
    from flows.search_engines.by_hand import locate_index

    index, config = locate_index(folder)
    if engine is not None:
        config = config.with_section("search", engine=engine)
    return index, config


def describe_memory(index: Path) -> str:
    """Describe the memory needed to serve an index."""
    from flows.checks.machine import GIB, read_free_memory

    mapped = sum(file.stat().st_size for file in index.rglob("*") if file.is_file())
    return f"{mapped / GIB:.2f} GiB of index, mapped and shared by the workers; {read_free_memory() / GIB:.1f} GiB free"


def describe_call(call: SearchCall, passages: Sequence[FoundPassage]) -> dict[str, Any]:
    """Return a call as JSON: its status, and the passages found."""
    hits = [
        {"passage_id": hit.passage_id, "score": hit.score, "title": passage.title, "text": passage.text}
        for hit, passage in zip(call.hits, passages, strict=True)
    ]
    return {"query": call.query, "status": call.status, "detail": call.detail, "hits": hits}


def show_call(console: Console, call: SearchCall, passages: Sequence[FoundPassage]) -> None:
    """Print a call, with the words of the query highlighted."""
    heading = Text.assemble((call.query[:QUERY_CHARS], "bold"), f"  {call.status}, {len(call.hits)} passages")
    console.print(heading if call.detail is None else heading.append(f": {call.detail}", "red"))
    words = sorted(set(WORD.findall(call.query.casefold())) - STOPWORDS_EN)
    marked = re.compile("|".join(map(re.escape, words)) or r"(?!)", re.IGNORECASE)
    for rank, (hit, passage) in enumerate(zip(call.hits, passages, strict=True), start=1):
        text = Text(passage.text)
        text.highlight_regex(marked, "bold yellow")
        score = f"  {hit.score or 0.0:.2f}  "
        title = Text.assemble(f"{rank}. ", (passage.title, "bold"), score, (hit.passage_id, "dim"))
        console.print(Panel(text, title=title, title_align="left", border_style="dim"))


@search_app.command("simulation-data")
def simulation_data(
    folder: JudgedRun,
    out: Annotated[Path, typer.Option(help="Folder for train.parquet, validation.parquet and rejects.parquet.")],
    informed: Annotated[
        bool, typer.Option("--informed/--query-only", help="Include the masked text and the gold in the prompts.")
    ] = True,
    validation: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of the pages held out for validation.")
    ] = 0.05,
    balance: Annotated[bool, typer.Option("--balance/--all", help="Balance useful and noisy examples.")] = True,
) -> None:
    """Turn the searches of a run into training data for a simulated search engine: chat rows,
    labelled useful or noisy.
    """
    from flows.exporting.simulation_data import export_simulation
    from pipeline.exporting.simulator_tuning import SimulatorExportSettings

    settings = SimulatorExportSettings(informed, validation, balance)
    step, rows = export_simulation(RunFolder(folder), out, settings)
    console = Console()
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(step.rejected.items()))
    console.print(
        f"{step.entered:,} searches: {step.passed:,} examples; left out: {reasons or 'none'}",
        highlight=False,
        soft_wrap=True,
    )
    for key, count in sorted(rows.items()):
        console.print(f"  {key}: {count:,}", highlight=False)
    if not step.passed:
        console.print("[yellow]nothing is left: use --all to keep examples without a counterpart[/]")
    console.print(f"{out}", highlight=False, soft_wrap=True)
