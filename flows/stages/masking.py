"""The stages that make tasks: what could be hidden, the spans that may be, and the tasks that hide some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flows.configuration.run_context import RunContext
from flows.configuration.sources import JIEBA, find_models
from flows.models.serving import names_served_scorer
from flows.search_engines.registry import needs_index
from flows.stages.inputs import read_dataset, reading, share_limit
from flows.stages.library_versions import MODELS, OPENCC
from flows.stages.passage_sample import (
    evidence_keys,
    find_redirects,
    find_sample,
    is_bounded,
    name_bounds,
    sample_fingerprints,
    sample_keys,
)
from flows.stages.reachability import open_play, play_fingerprints, play_keys, play_packages, plays_tasks
from flows.stages.round_tasks import find_plan, open_fresh, round_facts
from flows.stages.span_resources import (
    open_ambiguity,
    open_counts,
    open_evidence,
    open_ner,
    open_scorer,
    open_tokenizer,
)
from flows.stages.spec import RoundPart, StageSpec
from pipeline.components import load_component
from pipeline.masking.precision import resolve_precision
from pipeline.stage import Stage
from schemas.config import RunConfig, StageName
from schemas.masking_config import EvidenceScope
from schemas.passages import Passage
from schemas.reachability import Reachability
from schemas.roles import Role
from schemas.scale_plan import ScaleUnit
from schemas.tasks import MaskTask, Proposals, SpanSet

EXTRACTOR_KEY = "masking.extractor_function"


def proposal_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys that decide the requests to the extractor, and their number."""
    return (*sample_keys(config), "masking.extractor_tokens", "agents.parse_retries")


def open_proposals(context: RunContext, shard: str) -> Stage[Any]:
    """The stage from passages to proposals of a language model."""
    from flows.models.chat_models import make_stage, open_model
    from pipeline.llm.structured_output import Sampling
    from pipeline.masking.proposal_stage import ProposalStage

    config, model = context.config, open_model(context, StageName.PROPOSALS, shard)
    sampling = Sampling(0.0, config.masking.extractor_tokens, config.agents.parse_retries)
    stage = ProposalStage(model.model, sampling, config.llm.roles, find_sample(context, shard))
    return make_stage(context, stage.work, model)


def span_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys that decide which spans may be hidden."""
    keys = [*sample_keys(config), *evidence_keys(config)]
    keys += [f"masking.{key}" for key in ("extractor", "ner", "links", "rules", "scorer", "min_chars", "max_words")]
    if config.masking.scorer is not None and not names_served_scorer(config):
        keys += ["masking.device", "masking.precision"]
    if is_bounded(config):
        keys.append("masking.min_difficulty")
        if config.masking.scorer is not None:
            keys += ["masking.min_surprisal", "masking.max_surprisal"]
    keys += [f"masking.{name}" for name in ("drop_known", "hide_mentions") if getattr(config.masking, name)]
    if needs_index(config):
        keys.append("search.tokenizer")
    return tuple(dict.fromkeys(keys))


def _span_fingerprints(context: RunContext) -> Mapping[str, str]:
    counts = {"passages with a span's words": "counted" if needs_index(context.config) else "unknown"}
    models = {f"model {name}": revision for name, revision in find_models(context).items()}
    masking, local = context.config.masking, not names_served_scorer(context.config)
    precision = {"precision": resolve_precision(masking.precision).value} if masking.scorer and local else {}
    return {**sample_fingerprints(context), **name_bounds(context), **counts, **models, **precision}


def _list_functions(config: RunConfig) -> Mapping[str, str]:
    name = config.masking.extractor_function
    return {EXTRACTOR_KEY: name} if name else {}


def _list_roles(config: RunConfig) -> tuple[str, ...]:
    return (Role.SCORER,) if names_served_scorer(config) else ()


def span_packages(config: RunConfig) -> tuple[str, ...]:
    """Packages that recognise names and measure surprisals."""
    ner, scorer = config.masking.ner, config.masking.scorer
    found: list[str] = []
    if ner is not None:
        found += ["jieba", OPENCC] if ner == JIEBA else ["spacy"]
    if config.corpus.lang.startswith("en"):
        found.append("PyStemmer")
    if scorer is not None:
        found += MODELS[1:] if names_served_scorer(config) else MODELS
    return tuple(found)


def open_spans(context: RunContext, shard: str) -> Stage[Any]:
    """The stage from passages to maskable spans."""
    from pipeline.masking.span_stage import SpanStage

    config = context.config.masking
    proposals = {p.passage_id: p for p in read_dataset(context, Proposals, shard)} if config.extractor else None
    aliases = find_redirects(context, shard)
    extract = load_component(EXTRACTOR_KEY, config.extractor_function) if config.extractor_function else None
    sampled, scorer = find_sample(context, shard), open_scorer(context)
    return SpanStage(
        config,
        open_ner(context),
        scorer,
        aliases,
        sampled,
        proposals,
        extract,
        open_evidence(context),
        open_counts(context),
        scorer if config.drop_known else None,
        open_ambiguity(context),
    )


def task_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys that decide which of the spans are hidden, which tasks are kept, and how many masks are checked."""
    names = ["limit", "tasks_per_passage", "selection", "mask_counts", "min_pages", "answer_style"]
    if config.masking.closed_book_sample:
        names += ["closed_book_sample", "scorer"]
    if config.masking.hide_mentions:
        names.append("hide_mentions")
    terms: tuple[str, ...] = ()
    if config.masking.evidence is not EvidenceScope.NONE:
        names += ["evidence", "evidence_clues", *(["drop_ambiguous"] if config.masking.drop_ambiguous else [])]
        terms = ("search.tokenizer",)
    return tuple(dict.fromkeys(("seed", *(f"masking.{name}" for name in names), *terms, *play_keys(config))))


def read_spanned(context: RunContext, shard: str) -> Iterator[Any]:
    """Each passage that has spans, with them."""
    from pipeline.masking.task_stage import SpannedPassage

    span_sets = {span_set.passage_id: span_set for span_set in read_dataset(context, SpanSet, shard)}
    for passage in read_dataset(context, Passage, shard):
        if passage.passage_id in span_sets:
            yield SpannedPassage(passage, span_sets[passage.passage_id])


def open_tasks(context: RunContext, shard: str) -> Stage[Any]:
    """The stage from spans to tasks; where the tasks are played, they are made first, which is cheap."""
    stage = _open_choice(context, shard)
    if not plays_tasks(context.config):
        return stage
    made = {outcome.key: outcome for outcome in stage.run(read_spanned(context, shard))}
    return open_play(context, shard, made)


def _open_choice(context: RunContext, shard: str) -> Stage[Any]:
    from pipeline.masking.closed_book import ClosedBookSample
    from pipeline.masking.task_stage import TaskStage

    if plan := find_plan(context.run):
        return open_fresh(context, shard, plan)
    config, seed = context.config.masking, context.config.seed
    quota = share_limit(context, StageName.SPANS, SpanSet, shard, config.limit)
    stage = TaskStage(config, seed, quota, open_tokenizer(context), open_ambiguity(context))
    checked = share_limit(context, StageName.SPANS, SpanSet, shard, config.closed_book_sample)
    return ClosedBookSample(stage, open_scorer(context), checked, seed) if checked else stage


def _task_fingerprints(context: RunContext) -> Mapping[str, str]:
    return {**round_facts(context), **play_fingerprints(context)}


PROPOSALS = StageSpec(
    StageName.PROPOSALS,
    "Ask a language model for maskable spans, with masking.extractor (proposals/).",
    inputs=(StageName.DEDUP, StageName.INDEX),
    unit="passage",
    scales_with=ScaleUnit.PASSAGES,
    config_keys=proposal_keys,
    counted=Passage,
    outputs=(Proposals,),
    read=reading(Passage),
    open=open_proposals,
    fingerprint_inputs=sample_fingerprints,
    enabled=lambda config: config.masking.extractor,
    roles=lambda _: (Role.EXTRACTOR,),
    part_of_round=RoundPart.SHARED,
    command="mask",
)


SPANS = StageSpec(
    StageName.SPANS,
    "Find maskable spans (spans/).",
    inputs=(StageName.DEDUP, StageName.INDEX, StageName.PROPOSALS),
    unit="passage",
    scales_with=ScaleUnit.PASSAGES,
    config_keys=span_keys,
    packages=span_packages,
    counted=Passage,
    outputs=(SpanSet,),
    read=reading(Passage),
    open=open_spans,
    fingerprint_inputs=_span_fingerprints,
    functions=_list_functions,
    roles=_list_roles,
    part_of_round=RoundPart.SHARED,
    command="mask",
)


TASKS = StageSpec(
    StageName.TASKS,
    "Make RAMP tasks, and play them with an oracle (tasks/, reachability/).",
    inputs=(StageName.SPANS, StageName.INDEX),
    unit="passage",
    scales_with=ScaleUnit.PASSAGES,
    config_keys=task_keys,
    packages=play_packages,
    counted=SpanSet,
    outputs=(MaskTask,),
    optional_outputs=(Reachability,),
    writes_optional=plays_tasks,
    read=read_spanned,
    open=open_tasks,
    fingerprint_inputs=_task_fingerprints,
    roles=lambda config: _list_roles(config) if config.masking.closed_book_sample else (),
    part_of_round=RoundPart.ROUND,
    command="mask",
)
