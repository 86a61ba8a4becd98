"""The index that an evaluation searches: a run's, another evaluation's, or one built here from a file of passages."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flows.configuration.provenance import fingerprint_source, rampforge_version
from flows.configuration.run_context import RunContext
from flows.evaluation.solvers import SHARD, Bench
from flows.search_engines.local import TERMS, build_parts
from flows.search_engines.registry import TERM_KEYS, find_engine, fingerprint_index
from pipeline.errors import ConfigError
from pipeline.evaluation.corpus_files import STAGE as CORPUS_STAGE
from pipeline.evaluation.corpus_files import read_passages
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter
from pipeline.storage.stage_ledger import close_stage, open_stage, pick_settings
from schemas.config import StageName
from schemas.evaluations import EvalMethod
from schemas.funnel import Reject
from schemas.passages import Passage

CONFIG_KEYS = ("search.engine", *TERM_KEYS, "corpus.lang")


def prepare_bench(context: RunContext, method: EvalMethod, index: Path | None, corpus: Path | None) -> Bench:
    """Find the index, or build it from a corpus. Raises RampforgeError; ConfigError where one is needed and none is."""
    folder = context.run.index
    if corpus is not None:
        _build_index(context, corpus)
    elif index is not None:
        folder = RunFolder(index).index if RunFolder(index).index.is_dir() else index
    needed = find_engine(context.config).index_parts or method is EvalMethod.EXTRACTIVE
    if needed and not (folder / TERMS.name).is_dir():
        fix = "give --index RUN or --corpus FILE, or an engine that has its own: --set search.engine=http, web"
        raise ConfigError(f"there is no index to search in {folder}", fix)
    return Bench(context, folder)


def _build_index(context: RunContext, corpus: Path) -> None:
    """Index the passages of a file, once."""
    run, config = context.run, context.config
    source = {"corpus": fingerprint_source(str(corpus)), **fingerprint_index(context)}
    open_stage(run, StageName.INDEX, pick_settings(config, CONFIG_KEYS) | source, None)
    if run.find_manifest(StageName.INDEX) is None:
        build_parts(context, [_write_passages(run, corpus, config.corpus.lang)], find_engine(config).index_parts)
        close_stage(run, StageName.INDEX, [])


def _write_passages(run: RunFolder, corpus: Path, lang: str) -> Path:
    """The passages of a corpus as a shard; returns its path."""
    rejects: list[Reject] = []
    shard = run.shard(Passage.dataset, SHARD, StageName.INDEX)
    with ShardWriter(shard.parent, shard.name, Passage, _provenance(CORPUS_STAGE)) as writer:
        for row in read_passages(corpus, lang):
            if isinstance(row, Reject):
                rejects.append(row)
            else:
                writer.append(row.model_dump(mode="json"))
        if not writer.close().rows:
            raise ConfigError(f"{corpus}: no passage in it", "a row has `id`, `title` and `text`")
    write_rejects(run, CORPUS_STAGE, rejects)
    return shard


def write_rejects(run: RunFolder, stage: str, rejects: Iterable[Reject]) -> None:
    """Write down what of a file could not be used."""
    path = run.shard(Reject.dataset, SHARD, stage)
    with ShardWriter(path.parent, path.name, Reject, _provenance(stage)) as writer:
        for reject in rejects:
            writer.append(reject.model_dump(mode="json"))
        writer.close()


def _provenance(stage: str) -> dict[str, str]:
    return {"stage": stage, "version": rampforge_version()}
