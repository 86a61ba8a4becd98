"""The stage that attempts the tasks: by the extractive agents, by language models, or by a trained policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.configuration.run_context import RunContext
from flows.configuration.sources import find_revision
from flows.models.policy import plays_policy, policy_facts
from flows.search_engines.registry import TERM_KEYS, find_engine, needs_index, read_fingerprint
from flows.search_engines.remote import FUNCTION_KEY
from flows.stages.inputs import reading
from flows.stages.library_versions import MODELS, is_chinese
from flows.stages.search_index import index_packages
from flows.stages.spec import RoundPart, StageSpec
from pipeline.llm.prices import PriceTable
from pipeline.llm.roles import find_role
from pipeline.masking.precision import resolve_precision
from pipeline.stage import Stage
from schemas.config import RunConfig, StageName
from schemas.roles import AGENT_ROLES, Role
from schemas.scale_plan import ScaleUnit
from schemas.streams import TokenStream
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory


def _agent_roles(config: RunConfig) -> tuple[str, ...]:
    return {"agents": AGENT_ROLES, Role.POLICY: (Role.POLICY,)}.get(config.agents.policy, ())


def _attempt_roles(config: RunConfig) -> tuple[str, ...]:
    return (*_agent_roles(config), *find_engine(config).roles)


def _price_fingerprints(context: RunContext) -> Mapping[str, str]:
    """Trajectories carry what they cost."""
    table = PriceTable(context.config.llm.prices)
    models = sorted({find_role(context.config.llm, role).model for role in _agent_roles(context.config)})
    return {f"price of {model}": price.model_dump_json() for model in models if (price := table.find(model))}


def _attempt_fingerprints(context: RunContext) -> Mapping[str, str]:
    facts = {"engine": read_fingerprint(context), **_price_fingerprints(context), **policy_facts(context)}
    if reranks(context.config) and (name := context.config.masking.scorer):
        facts[f"model {name}"] = find_revision(context, name)
        facts["precision"] = resolve_precision(context.config.masking.precision).value
    return facts


def _list_functions(config: RunConfig) -> Mapping[str, str]:
    used = FUNCTION_KEY in find_engine(config).config_keys
    return {FUNCTION_KEY: config.search.function} if used and config.search.function else {}


def reranks(config: RunConfig) -> bool:
    """Whether a language model on this machine reranks the answers of the extractive agents."""
    return config.agents.policy == "extractive" and config.agents.rerank


def attempt_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys that decide how tasks are attempted."""
    search = ["search.engine", "search.k", "search.hide", "search.hide_copies"]
    search += find_engine(config).config_keys
    search += TERM_KEYS if needs_index(config) else ()
    if config.agents.policy == "agents":
        return (*search, "agents")
    keys = (*search, "agents.policy", "agents.attempts")
    if plays_policy(config):
        return keys
    keys = (*keys, "agents.max_turns", "agents.queries_per_turn", "agents.rerank")
    return (*keys, "masking.scorer", "masking.device", "masking.precision") if reranks(config) else keys


def attempt_packages(config: RunConfig) -> tuple[str, ...]:
    """Packages of the search engine, the extractive agents and a policy's tokenizer."""
    found = [*index_packages(config)]
    if config.agents.policy == "extractive":
        found += ["PyStemmer"] if config.corpus.lang.startswith("en") else []
        found += ["jieba"] if is_chinese(config) else []
        found += MODELS if reranks(config) else ()
    if config.agents.policy == "policy":
        found.append("transformers")
    return tuple(dict.fromkeys(found))


def open_trajectories(context: RunContext, shard: str) -> Stage[Any]:
    """The stage from tasks to trajectories and, with a policy, to their token streams."""
    from flows.models.chat_models import make_stage, open_model
    from flows.search_engines.registry import open_async_engine
    from flows.stages.solvers import open_asking, open_extractive
    from pipeline.agents.trajectory_stage import TrajectoryStage

    config, engine = context.config, open_async_engine(context, shard)
    if config.agents.policy == "extractive":
        model = None
        solver = open_extractive(context, engine, context.run.fetch_index())
    else:
        model = open_model(context, StageName.TRAJECTORIES, shard)
        solver = open_asking(context, config.agents.policy, engine, model.model)
    stage = TrajectoryStage(solver, config.search.hide, config.agents.attempts, PriceTable(config.llm.prices).cost)
    return make_stage(context, stage.work, model, engine)


TRAJECTORIES = StageSpec(
    StageName.TRAJECTORIES,
    "Attempt every task with the agents (trajectories/).",
    inputs=(StageName.TASKS, StageName.INDEX),
    unit="task",
    scales_with=ScaleUnit.ATTEMPTS,
    config_keys=attempt_keys,
    packages=attempt_packages,
    counted=MaskTask,
    outputs=(Trajectory,),
    read=reading(MaskTask),
    open=open_trajectories,
    fingerprint_inputs=_attempt_fingerprints,
    functions=_list_functions,
    roles=_attempt_roles,
    optional_outputs=(TokenStream,),
    writes_optional=plays_policy,
    part_of_round=RoundPart.ROUND,
)
