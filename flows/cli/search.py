"""`rampforge search`: serve an index to trainers, and ask an engine by hand."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from flows.cli.locations import fetch_index
from flows.cli.simulation_cli import simulation_data
from flows.configuration.cache import cache_folder
from flows.configuration.run_context import RunContext
from pipeline.errors import ConfigError
from pipeline.search.engine import FoundPassage, SearchEngine
from pipeline.search.tokens import STOPWORDS_EN
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.search_config import EngineKind
from schemas.trajectories import SearchCall, SearchStatus

search_app = typer.Typer(no_args_is_help=True, help="Serve a search index, or ask a search engine by hand.")
search_app.command("simulation-data")(simulation_data)
QUERY_CHARS = 200
WORD = re.compile(r"\w+")
BATCHED = 32
"""Queries that an engine with a neural encoder is given together."""

Engine = Annotated[EngineKind | None, typer.Option(help="Another engine than the run's own.")]


@search_app.command()
def serve(
    folder: Annotated[
        Path,
        typer.Argument(metavar="RUN_OR_INDEX", help="A run's folder, or an index; or a URL.", parser=fetch_index),
    ],
    host: Annotated[str, typer.Option(help="Address; any but the loopback needs --token-env.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one a core.")] = None,
    queue: Annotated[int, typer.Option(min=1, help="Queries that may wait in one worker; more are sent away.")] = 4096,
    k: Annotated[int | None, typer.Option(min=1, max=100, help="Documents for a query that names no number.")] = None,
    token_env: Annotated[str | None, typer.Option(help="NAME of the variable that holds the token to ask for.")] = None,
    engine: Engine = None,
) -> None:
    """Serve an index as Search-R1's and ZeroSearch's retrievers do: POST /retrieve. /docs shows the protocol.

    An engine that is asked over the network or made up (http, web, simulated) is served too, by one process.
    With --token-env, clients send `Authorization: Bearer TOKEN`, or, where all they know is a URL, have the token in
    it: http://HOST:PORT/t/TOKEN/retrieve.
    """
    from flows.search_engines.registry import LOCAL, open_engine, open_local_engine
    from pipeline.search_server.settings import LOOPBACK_HOSTS, ServerSettings
    from pipeline.search_server.supervisor import SearchServer

    if host not in LOOPBACK_HOSTS and token_env is None:
        what = f"{host} can be reached from elsewhere: a token is needed"
        raise ConfigError(what, "export NAME=..., then --token-env NAME")
    token = _read_token(token_env)
    index, config = locate_index(folder, engine)
    kind, cores = config.search.engine, os.cpu_count() or 1
    console = Console(stderr=True)
    console.print(describe_memory(index), soft_wrap=True)
    # Workers that each took every core for one batch would slow each other down.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // (workers or cores))))
    if kind in LOCAL:
        opening = partial(open_local_engine, index, config, cache_folder())
    else:
        workers = 1  # what it was told is kept in files that have one writer
        opening = partial(open_engine, RunContext(RunFolder(folder), config, cache_folder()), "served")
    settings = ServerSettings(
        open_engine=opening,
        host=host,
        port=port,
        workers=workers or cores,
        queue=queue,
        gather=1 if kind is EngineKind.BM25 else BATCHED,
        k=k or config.search.k,
        token=token,
    )
    with SearchServer(settings) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        server.watch(until_ready=True)
        if server.ready:
            url = f"http://{host}:{server.port}"
            console.print(f"{kind} over {index} at {url}, {settings.workers} workers", soft_wrap=True)
            console.print("POST /retrieve, GET /healthz /metrics /docs; Ctrl-C ends it")
            if token_env:
                console.print(f"for clients that know only a URL: {url}/t/${token_env}/retrieve", soft_wrap=True)
        server.watch()


@search_app.command()
def query(
    queries: Annotated[list[str], typer.Argument(metavar="QUERY...", help="What to search for.")],
    index: Annotated[
        Path,
        typer.Option(
            "--index", "-i", metavar="RUN_OR_INDEX", help="A run's folder, or an index; or a URL.", parser=fetch_index
        ),
    ],
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="Passages for each query.")] = 5,
    engine: Engine = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a query.")] = False,
) -> None:
    """Search an index, or whatever engine a run is configured for, and show what comes back."""
    from pipeline.search.engine import SearchRequest

    searcher = open_searcher(index, engine)
    calls = searcher.search([SearchRequest(query) for query in queries], k)
    for call in calls:
        passages = searcher.read([hit.passage_id for hit in call.hits])
        if as_json:
            typer.echo(json.dumps(describe_call(call, passages), ensure_ascii=False))
        else:
            show_call(Console(), call, passages)
    if any(call.status in (SearchStatus.ERROR, SearchStatus.TIMEOUT) for call in calls):
        raise typer.Exit(1)


def locate_index(folder: Path, engine: EngineKind | None) -> tuple[Path, RunConfig]:
    """Where the index of a run is, or of a bare index folder, and the configuration to open it with.

    Raises ConfigError where there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder", "name a run, such as outputs/demo, or an index")
    record = RunFolder(folder).find_record()
    config = RunConfig.model_validate(record.config) if record else RunConfig()
    if engine is not None:
        config = config.model_copy(update={"search": config.search.model_copy(update={"engine": engine})})
    return (RunFolder(folder).index if record else folder), config


def describe_memory(index: Path) -> str:
    """What serving an index takes, said before it is opened."""
    from flows.checks.machine import GIB, read_free_memory

    mapped = sum(file.stat().st_size for file in index.rglob("*") if file.is_file())
    return f"{mapped / GIB:.2f} GiB of index, mapped and shared by the workers; {read_free_memory() / GIB:.1f} GiB free"


def open_searcher(folder: Path, engine: EngineKind | None) -> SearchEngine:
    """The engine of a run, or over a bare index folder. Raises SearchError."""
    from flows.search_engines.registry import LOCAL, open_engine, open_local_engine

    index, config = locate_index(folder, engine)
    if config.search.engine in LOCAL:
        return open_local_engine(index, config, cache_folder())
    return open_engine(RunContext(RunFolder(folder), config, cache_folder()), "by-hand")


def describe_call(call: SearchCall, passages: Sequence[FoundPassage]) -> dict[str, Any]:
    """A call as JSON: how it ended, and the passages found."""
    hits = [
        {"passage_id": hit.passage_id, "score": hit.score, "title": passage.title, "text": passage.text}
        for hit, passage in zip(call.hits, passages, strict=True)
    ]
    return {"query": call.query, "status": call.status, "detail": call.detail, "hits": hits}


def show_call(console: Console, call: SearchCall, passages: Sequence[FoundPassage]) -> None:
    """A call as a person reads it, the words of the query marked."""
    heading = Text.assemble((call.query[:QUERY_CHARS], "bold"), f"  {call.status}, {len(call.hits)} passages")
    console.print(heading if call.detail is None else heading.append(f": {call.detail}", "red"))
    words = sorted(set(WORD.findall(call.query.casefold())) - STOPWORDS_EN)
    marked = re.compile("|".join(map(re.escape, words)) or r"(?!)", re.IGNORECASE)
    for rank, (hit, passage) in enumerate(zip(call.hits, passages, strict=True), start=1):
        text = Text(passage.text)
        text.highlight_regex(marked, "bold yellow")
        title = Text.assemble(f"{rank}. ", (passage.title, "bold"), f"  {hit.score:.2f}  ", (hit.passage_id, "dim"))
        console.print(Panel(text, title=title, title_align="left", border_style="dim"))


def _read_token(name: str | None) -> str | None:
    if name is None:
        return None
    if not os.environ.get(name):
        raise ConfigError(f"--token-env names {name}, which is not set", f"export {name}=...")
    return os.environ[name]
