"""The stages of the job, in order: what each is made from, what it writes, and which settings decide its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flows.configuration.provenance import fingerprint_sources
from flows.configuration.run_context import RunContext
from flows.configuration.sources import find_models, find_sources
from flows.models.policy import POLICY, plays_policy, policy_facts
from flows.models.serving import SCORER, names_served_scorer
from flows.search_engines.local import index_facts
from flows.search_engines.registry import needs_index, read_fingerprint
from flows.stages import config_keys as keys
from flows.stages import inputs as openers
from flows.stages import library_versions as packages
from flows.stages.difficulties import difficulty_facts, list_closed_roles, open_difficulties, read_tried
from flows.stages.inputs import reading
from flows.stages.round_tasks import round_facts
from flows.stages.spec import StageSpec
from pipeline.agents.llm_roles import ROLES as AGENT_ROLES
from pipeline.judging.llm_judge import ROLE as JUDGE
from pipeline.llm.prices import PriceTable
from pipeline.llm.roles import find_role
from pipeline.masking.proposal_stage import ROLE as EXTRACTOR
from pipeline.search.simulated.source import ROLE as SIMULATOR
from pipeline.storage.stage_ledger import digest_manifest
from schemas.config import RunConfig
from schemas.difficulties import Difficulty
from schemas.documents import Document, Redirect
from schemas.funnel import Reject
from schemas.judgements import Judgement
from schemas.passages import Chunk, Passage
from schemas.record import Record
from schemas.search_config import EngineKind
from schemas.streams import TokenStream
from schemas.tasks import MaskTask, Proposals, SpanSet
from schemas.trajectories import Trajectory


def _source_facts(context: RunContext) -> Mapping[str, str]:
    fingerprints = fingerprint_sources(find_sources(context))
    return {f"source {name}": fingerprint for name, fingerprint in fingerprints.items()}


def _span_facts(context: RunContext) -> Mapping[str, str]:
    asked = _asks_extractor(context.config)
    proposed = {"proposals": digest_manifest(context.run.manifest("proposals"))} if asked else {}
    band = {"perplexity band": "used" if keys.is_banded(context.config) else "unused"}
    return band | proposed | {f"model {name}": revision for name, revision in find_models(context).items()}


def _asks_extractor(config: RunConfig) -> bool:
    return config.masking.extractor


def _scorer_roles(config: RunConfig) -> tuple[str, ...]:
    return (SCORER,) if names_served_scorer(config) else ()


def _agent_roles(config: RunConfig) -> tuple[str, ...]:
    return {"agents": AGENT_ROLES, POLICY: (POLICY,)}.get(config.agents.policy, ())


def _attempt_roles(config: RunConfig) -> tuple[str, ...]:
    """Of the agents, and of the language model that plays the search engine."""
    simulated = config.search.engine is EngineKind.SIMULATED
    return (*_agent_roles(config), *((SIMULATOR,) if simulated else ()))


def _judge_roles(config: RunConfig) -> tuple[str, ...]:
    return (JUDGE,) if config.judging.judge == "llm" else ()


def _engine_facts(context: RunContext) -> Mapping[str, str]:
    if needs_index(context.config):
        context.run.manifest("index")
    return {"engine": read_fingerprint(context)}


def _attempt_facts(context: RunContext) -> Mapping[str, str]:
    return {**_engine_facts(context), **_price_facts(context), **policy_facts(context)}


def _price_facts(context: RunContext) -> Mapping[str, str]:
    """Trajectories carry what they cost."""
    table = PriceTable(context.config.llm.prices)
    models = sorted({find_role(context.config.llm, role).model for role in _agent_roles(context.config)})
    return {f"price of {model}": price.model_dump_json() for model in models if (price := table.find(model))}


CORPUS = StageSpec(
    "corpus",
    None,
    "page",
    keys.corpus_keys,
    outputs=(Document, Redirect),
    facts=_source_facts,
    packages=packages.reading_packages,
)

_CUT = StageSpec(
    "cut",
    upstream="corpus",
    unit="document",
    decides=lambda _: ("passages",),
    packages=packages.signing_packages,
    inputs=Document,
    outputs=(Chunk,),
    read=reading(Document),
    open=openers.open_cut,
)
_DEDUP = StageSpec(
    "dedup",
    upstream="cut",
    unit="passage",
    decides=lambda _: ("passages.duplicate_similarity",),
    inputs=Chunk,
    outputs=(Passage,),
    read=reading(Chunk),
    open=openers.open_dedup,
    prepare=openers.find_near_duplicates,
    made=lambda run: (openers.locate_duplicates(run),),
)
_PROPOSALS = StageSpec(
    "proposals",
    upstream="dedup",
    unit="passage",
    decides=keys.proposal_keys,
    inputs=Passage,
    outputs=(Proposals,),
    read=reading(Passage),
    open=openers.open_proposals,
    enabled=_asks_extractor,
    roles=lambda _: (EXTRACTOR,),
)
_SPANS = StageSpec(
    "spans",
    upstream="dedup",
    unit="passage",
    decides=keys.span_keys,
    packages=packages.span_packages,
    inputs=Passage,
    outputs=(SpanSet,),
    read=reading(Passage),
    open=openers.open_spans,
    facts=_span_facts,
    roles=_scorer_roles,
)
_TASKS = StageSpec(
    "tasks",
    upstream="spans",
    unit="passage",
    decides=keys.task_keys,
    inputs=SpanSet,
    outputs=(MaskTask,),
    read=openers.read_spanned,
    open=openers.open_tasks,
    facts=round_facts,
)
_INDEX = StageSpec(
    "index",
    upstream="dedup",
    unit="passage",
    decides=keys.index_keys,
    packages=packages.index_packages,
    inputs=Passage,
    prepare=openers.build_index,
    made=lambda run: tuple(sorted(run.index.glob("[!.]*/about.json"))),
    facts=index_facts,
    enabled=needs_index,
)
_TRAJECTORIES = StageSpec(
    "trajectories",
    upstream="tasks",
    unit="task",
    decides=keys.attempt_keys,
    packages=packages.attempt_packages,
    inputs=MaskTask,
    outputs=(Trajectory,),
    read=reading(MaskTask),
    open=openers.open_trajectories,
    facts=_attempt_facts,
    roles=_attempt_roles,
    also=(TokenStream,),
    asks_also=plays_policy,
)
_JUDGEMENTS = StageSpec(
    "judgements",
    upstream="trajectories",
    unit="trajectory",
    decides=keys.judging_keys,
    packages=packages.judging_packages,
    inputs=Trajectory,
    outputs=(Judgement,),
    read=openers.read_attempts,
    open=openers.open_judgements,
    roles=_judge_roles,
)
_DIFFICULTIES = StageSpec(
    "difficulties",
    upstream="tasks",
    unit="task",
    decides=keys.difficulty_keys,
    packages=packages.difficulty_packages,
    inputs=MaskTask,
    outputs=(Difficulty,),
    read=read_tried,
    open=open_difficulties,
    facts=difficulty_facts,
    enabled=lambda config: config.policy.measures,
    roles=list_closed_roles,
)
REPORT = StageSpec(
    "report",
    upstream="judgements",
    unit="judgement",
    decides=lambda _: ("report",),
    inputs=Judgement,
    prepare=openers.draw_report,
    made=lambda run: (run.report,),
)

STAGES: dict[str, StageSpec] = {
    spec.name: spec
    for spec in (
        CORPUS,
        _CUT,
        _DEDUP,
        _PROPOSALS,
        _SPANS,
        _TASKS,
        _INDEX,
        _TRAJECTORIES,
        _JUDGEMENTS,
        _DIFFICULTIES,
        REPORT,
    )
}
"""Every stage, by name, in the order of the job."""


def list_models() -> dict[str, type[Record]]:
    """The model of every dataset that a run may hold, by its name."""
    written: list[type[Record]] = [model for spec in STAGES.values() for model in spec.outputs + spec.also]
    written.append(Reject)
    return {model.dataset: model for model in written}


def find_spec(name: str) -> StageSpec:
    """The stage of that name."""
    return STAGES[name]


def list_roles(config: RunConfig, specs: Iterable[StageSpec]) -> tuple[str, ...]:
    """The roles that language models play in some stages, in the order of the stages."""
    return tuple(dict.fromkeys(role for spec in specs if spec.enabled(config) for role in spec.roles(config)))
