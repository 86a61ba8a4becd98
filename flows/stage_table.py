"""The stages of the job, in order: what each is made from, what it writes, and which settings decide its rows."""

from __future__ import annotations

from collections.abc import Mapping

from flows import stage_openers as openers
from flows.provenance import fingerprint_sources
from flows.sources import find_models, find_sources
from flows.stage_openers import reading
from flows.stages import StageSpec, Workplace
from schemas.documents import Document, Redirect
from schemas.judgements import Judgement
from schemas.passages import Chunk, Passage
from schemas.tasks import MaskTask, SpanSet
from schemas.trajectories import Trajectory

SPAN_KEYS = (
    "limit",
    "tasks_per_passage",
    "ner",
    "links",
    "rules",
    "scorer",
    "device",
    "min_chars",
    "max_words",
    "min_perplexity",
    "max_perplexity",
    "selection",
)
"""Keys of `masking` that decide which spans may be hidden; the others only decide which of them are.
(`selection` is among them because `random` takes spans of any perplexity.)"""


def _source_facts(place: Workplace) -> Mapping[str, str]:
    fingerprints = fingerprint_sources(find_sources(place))
    return {f"source {name}": fingerprint for name, fingerprint in fingerprints.items()}


def _model_facts(place: Workplace) -> Mapping[str, str]:
    scorer = place.config.llm.roles.get("scorer")
    served = {"llm.roles.scorer": scorer.model_dump_json()} if scorer else {}
    return served | {f"model {name}": revision for name, revision in find_models(place).items()}


def _engine_facts(place: Workplace) -> Mapping[str, str]:
    from pipeline.search.bm25 import Bm25Engine

    place.run.manifest("index")
    return {"engine": Bm25Engine(place.run.index).fingerprint}


CORPUS = StageSpec("corpus", None, "page", ("corpus",), outputs=(Document, Redirect), facts=_source_facts)

_CUT = StageSpec(
    "cut",
    upstream="corpus",
    unit="document",
    decides=("passages",),
    inputs=Document,
    outputs=(Chunk,),
    read=reading(Document),
    open=openers.open_cut,
)
_DEDUP = StageSpec(
    "dedup",
    upstream="cut",
    unit="passage",
    decides=("passages.duplicate_similarity",),
    inputs=Chunk,
    outputs=(Passage,),
    read=reading(Chunk),
    open=openers.open_dedup,
    prepare=openers.find_near_duplicates,
)
_SPANS = StageSpec(
    "spans",
    upstream="dedup",
    unit="passage",
    decides=("seed", *(f"masking.{key}" for key in SPAN_KEYS)),
    inputs=Passage,
    outputs=(SpanSet,),
    read=reading(Passage),
    open=openers.open_spans,
    facts=_model_facts,
)
_TASKS = StageSpec(
    "tasks",
    upstream="spans",
    unit="passage",
    decides=("seed", "masking"),
    inputs=SpanSet,
    outputs=(MaskTask,),
    read=openers.read_spanned,
    open=openers.open_tasks,
)
_INDEX = StageSpec(
    "index",
    upstream="dedup",
    unit="passage",
    decides=("search.engine", "search.k1", "search.b"),
    inputs=Passage,
    prepare=openers.build_index,
)
_TRAJECTORIES = StageSpec(
    "trajectories",
    upstream="tasks",
    unit="task",
    decides=("search", "agents", "llm.roles"),
    inputs=MaskTask,
    outputs=(Trajectory,),
    read=reading(MaskTask),
    open=openers.open_trajectories,
    facts=_engine_facts,
)
_JUDGEMENTS = StageSpec(
    "judgements",
    upstream="trajectories",
    unit="trajectory",
    decides=("judging", "llm.roles"),
    inputs=Trajectory,
    outputs=(Judgement,),
    read=openers.read_attempts,
    open=openers.open_judgements,
)
REPORT = StageSpec(
    "report",
    upstream="judgements",
    unit="judgement",
    decides=("report",),
    inputs=Judgement,
    prepare=openers.draw_report,
)

STAGES: dict[str, StageSpec] = {
    spec.name: spec for spec in (CORPUS, _CUT, _DEDUP, _SPANS, _TASKS, _INDEX, _TRAJECTORIES, _JUDGEMENTS, REPORT)
}
"""Every stage, by name, in the order of the job."""


def find_spec(name: str) -> StageSpec:
    """The stage of that name."""
    return STAGES[name]
