"""How each stage is opened for a shard, and where its inputs come from.

The one place where real models, indexes and engines are made from the configuration. Heavy libraries are imported
where a stage is opened, so that `rampforge --help` stays quick and a worker process loads only what its stage needs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flows.configuration.run_context import RunContext
from flows.configuration.sources import JIEBA, find_revision
from flows.models.policy import POLICY, load_tokenizer, locate_policy, name_weights, plays_policy
from flows.stages.quotas import share_out
from flows.stages.round_tasks import find_plan, open_fresh
from pipeline.assets.store import resolve_model
from pipeline.llm.roles import find_role
from pipeline.masking.redirect_aliases import find_aliases
from pipeline.stage import Stage
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows, reading_boundary
from schemas.difficulties import Difficulty
from schemas.documents import Document, Redirect
from schemas.funnel import Reject
from schemas.judgements import Judgement
from schemas.passages import Chunk, Passage
from schemas.record import Record
from schemas.streams import TokenStream
from schemas.tasks import MaskTask, Proposals, SpanSet
from schemas.trajectories import Trajectory

DATASETS: tuple[type[Record], ...] = (
    Document,
    Redirect,
    Chunk,
    Passage,
    Proposals,
    SpanSet,
    MaskTask,
    Trajectory,
    TokenStream,
    Judgement,
    Difficulty,
    Reject,
)
"""What a run folder may hold, in the order it is made."""


def reading(model: type[Record]) -> Callable[[RunContext, str], Iterator[Any]]:
    """A reader of the shard's rows of one dataset, nothing joined to them."""
    return lambda context, shard: _read(context, model, shard)


def _read(context: RunContext, model: type[Any], shard: str) -> Iterator[Any]:
    return read_rows(context.run.part(model.dataset, shard, ""), model)


def _list_files(context: RunContext, stage: str, model: type[Record]) -> list[Path]:
    """The files of a finished stage's dataset, in order."""
    context.run.manifest(stage)
    return context.run.files(model.dataset)


def _share_limit(context: RunContext, stage: str, model: type[Record], shard: str, total: int | None) -> int | None:
    """A shard's part of a limit that holds for the whole run, in proportion to its rows."""
    if total is None:
        return None
    shards = context.run.manifest(stage).shards
    shares = share_out(total, [commit.rows(model.dataset) for commit in shards])
    return shares[[commit.shard for commit in shards].index(shard)]


def open_cut(context: RunContext, _: str) -> Stage[Any]:
    """Documents to chunks."""
    from pipeline.passages.stages import CutStage

    return CutStage(context.config.passages)


def locate_duplicates(run: RunFolder) -> Path:
    """The list of near-duplicates, made once for all shards."""
    return run.ledger("dedup") / "duplicates.parquet"


def find_near_duplicates(context: RunContext) -> None:
    """Compare the chunks of all shards."""
    from pipeline.passages.duplicates import find_duplicates

    target = locate_duplicates(context.run)
    reading = reading_boundary(context.run.dataset(Chunk.dataset))
    with (
        wrap_os_errors(target),
        reading,
        tempfile.TemporaryDirectory(dir=context.run.root, prefix=".duplicates-") as scratch,
    ):
        chunks = _list_files(context, "cut", Chunk)
        find_duplicates(chunks, context.config.passages.duplicate_similarity, target, Path(scratch))
    context.run.publish(target)


def open_dedup(context: RunContext, shard: str) -> Stage[Any]:
    """Chunks to passages."""
    from pipeline.passages.duplicates import read_duplicates
    from pipeline.passages.stages import DeduplicateStage

    name = context.run.shard(Chunk.dataset, shard, "cut").name
    return DeduplicateStage(read_duplicates(context.run.fetch(locate_duplicates(context.run)), name))


def open_proposals(context: RunContext, shard: str) -> Stage[Any]:
    """Passages to what a language model would hide in them."""
    from flows.models.chat_models import make_stage, open_model
    from pipeline.llm.structured_output import Sampling
    from pipeline.masking.proposal_stage import STAGE, ProposalStage

    config, model = context.config, open_model(context, STAGE, shard)
    sampling = Sampling(0.0, config.masking.extractor_tokens, config.agents.parse_retries)
    return make_stage(context, model, ProposalStage(model, sampling, config.llm.roles, _sample(context, shard)).work)


def open_spans(context: RunContext, shard: str) -> Stage[Any]:
    """Passages to the spans that may be hidden in them."""
    from pipeline.masking.span_stage import SpanStage

    config = context.config.masking
    proposals = {p.passage_id: p for p in _read(context, Proposals, shard)} if config.extractor else None
    targets = {link.target for passage in _read(context, Passage, shard) for link in passage.links}
    aliases = find_aliases(context.run.files(Redirect.dataset), targets)
    return SpanStage(config, _open_ner(context), _open_scorer(context), aliases, _sample(context, shard), proposals)


def _sample(context: RunContext, shard: str) -> frozenset[str] | None:
    """Ids of the passages of a shard that spans are sought in; None for all."""
    from pipeline.masking.sampling import count_needed, sample_passages

    config = context.config.masking
    wanted = count_needed(config.limit, config.tasks_per_passage) if config.limit else None
    quota = _share_limit(context, "dedup", Passage, shard, wanted)
    return sample_passages(_read(context, Passage, shard), quota, context.config.seed) if quota is not None else None


def _open_ner(context: RunContext) -> Any:
    """The recogniser of names, unless the configuration leaves it out."""
    from pipeline.masking.entities import load_ner

    name = context.config.masking.ner
    return load_ner(str(resolve_model(name, context.cache))) if name not in (None, JIEBA) else None


def _open_scorer(context: RunContext) -> Any:
    """The language model behind the perplexities, named with its revision."""
    from flows.models.serving import names_served_scorer, open_served_scorer
    from pipeline.masking.causal_scorer import load_scorer

    name = context.config.masking.scorer
    if name is None:
        return None
    if names_served_scorer(context.config):
        return open_served_scorer(context.config, context.cache)
    path = str(resolve_model(name, context.cache))
    return load_scorer(path, context.config.masking.device, f"{name} {find_revision(context, name)}")


def open_tasks(context: RunContext, shard: str) -> Stage[Any]:
    """Spans to tasks."""
    from pipeline.masking.task_stage import TaskStage

    if plan := find_plan(context.run):
        return open_fresh(context, shard, plan)
    quota = _share_limit(context, "spans", SpanSet, shard, context.config.masking.limit)
    return TaskStage(context.config.masking, context.config.seed, quota=quota)


def read_spanned(context: RunContext, shard: str) -> Iterator[Any]:
    """Each passage that has spans, with them."""
    from pipeline.masking.task_stage import SpannedPassage

    span_sets = {span_set.passage_id: span_set for span_set in _read(context, SpanSet, shard)}
    for passage in _read(context, Passage, shard):
        if passage.passage_id in span_sets:
            yield SpannedPassage(passage, span_sets[passage.passage_id])


def build_index(context: RunContext) -> None:
    """Index the passages of all shards."""
    from flows.search_engines.local import build_parts

    with wrap_os_errors(context.run.index), reading_boundary(context.run.dataset(Passage.dataset)):
        build_parts(context, _list_files(context, "dedup", Passage))
    context.run.publish(context.run.index)


def open_trajectories(context: RunContext, shard: str) -> Stage[Any]:
    """Tasks to trajectories."""
    from flows.search_engines.registry import open_async_engine, open_engine, open_term_statistics
    from pipeline.agents.extractive.agents import ExtractiveAgents
    from pipeline.agents.extractive.trajectory_stage import TrajectoryStage

    if plays_policy(context.config):
        return open_policy(context, shard)
    if context.config.agents.policy == "agents":
        from flows.models.chat_models import make_stage, open_model
        from pipeline.agents.attempt_services import ModelWithEngine
        from pipeline.agents.trajectory_stage import LlmTrajectoryStage
        from pipeline.llm.prices import PriceTable

        model, config = open_model(context, "trajectories", shard), context.config
        engine = open_async_engine(context, shard)
        price = PriceTable(config.llm.prices).cost
        stage = LlmTrajectoryStage(engine, model, config.search, config.agents, config.llm.roles, price)
        return make_stage(context, ModelWithEngine(model, engine), stage.work)
    terms = open_term_statistics(context)
    agents = ExtractiveAgents(terms.lang, terms.rarity)
    return TrajectoryStage(open_engine(context, shard), agents, context.config.search, context.config.agents)


def open_judgements(context: RunContext, shard: str) -> Stage[Any]:
    """Trajectories to judgements."""
    from pipeline.judging.judge_stage import JudgeStage

    if context.config.judging.judge == "llm":
        from flows.models.chat_models import make_stage, open_model
        from pipeline.judging.llm_judge_stage import LlmJudgeStage

        model = open_model(context, "judgements", shard)
        return make_stage(context, model, LlmJudgeStage(context.config.judging, model, context.config.llm.roles).work)
    return JudgeStage(context.config.judging)


def read_attempts(context: RunContext, shard: str) -> Iterator[Any]:
    """Each trajectory with its task and the passages of its page."""
    from pipeline.judging.judge_stage import JudgedAttempt

    tasks = {task.task_id: task for task in _read(context, MaskTask, shard)}
    pages = _group_by_page(context, shard)
    for trajectory in _read(context, Trajectory, shard):
        task = tasks[trajectory.task_id]
        yield JudgedAttempt(trajectory, task, pages[task.document_id])


def _group_by_page(context: RunContext, shard: str) -> dict[str, frozenset[str]]:
    """The ids of the passages of each page. A page is never divided between shards."""
    columns = ["document_id", "passage_id"]
    path = context.run.part(Passage.dataset, shard, "dedup")
    with reading_boundary(path):
        table = pq.read_table(path, columns=columns)
    pages: dict[str, set[str]] = {}
    for document_id, passage_id in zip(*(table[column].to_pylist() for column in columns), strict=True):
        pages.setdefault(document_id, set()).add(passage_id)
    return {document_id: frozenset(passages) for document_id, passages in pages.items()}


def list_all_files(run: RunFolder) -> dict[str, list[Path]]:
    """The finished files of every dataset that a run may hold."""
    return {model.dataset: run.files(model.dataset) for model in DATASETS}


def draw_report(context: RunContext) -> None:
    """Write report.html from what lies in the run folder."""
    from pipeline.report.collecting import collect_report
    from pipeline.report.page import build_report

    with reading_boundary(context.run.root, context.run.location):
        data = collect_report(context.run.record(), list_all_files(context.run), context.config.report.examples)
    context.run.write(context.run.report, build_report(data).encode())


def open_policy(context: RunContext, shard: str) -> Stage[Any]:
    """Tasks to trajectories and their streams."""
    from flows.models.chat_models import make_stage, open_model
    from flows.search_engines.registry import open_async_engine
    from pipeline.agents.attempt_services import ModelWithEngine
    from pipeline.llm.prices import PriceTable
    from pipeline.rollouts.policy_rollout import PolicySolver
    from pipeline.rollouts.trajectory_stage import PolicyFacts, PolicyTrajectoryStage

    config = context.config
    where = locate_policy(config, context.cache)
    tokenizer, digest = load_tokenizer(where)
    model, engine = open_model(context, "trajectories", shard), open_async_engine(context, shard)
    role = find_role(config.llm, POLICY)
    facts = PolicyFacts(role, name_weights(where), digest, engine.fingerprint, config.search.k)
    solver = PolicySolver(engine, model, tokenizer, config.policy, config.search.k)
    price = PriceTable(config.llm.prices).cost
    stage = PolicyTrajectoryStage(solver, config.policy, facts, config.search.hide, config.agents.attempts, price)
    return make_stage(context, ModelWithEngine(model, engine), stage.work)
