"""Configuration of a run, by section. A YAML file has the same shape; `--set section.key=value` overrides a key.

Rows depend on every section except `execution`, `store`, `watch`, `serving`, `search_service`, and `llm` (of which only
`llm.roles` and the prices of the agents' models count). Only these may change when a run is resumed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from schemas.custom_parts import COMPONENT, PromptsConfig
from schemas.distill_config import DistillConfig
from schemas.evaluations import DecontaminationConfig
from schemas.llm_config import LlmConfig
from schemas.masking_config import MaskingConfig
from schemas.policies import PolicyConfig
from schemas.record import Frozen
from schemas.search_config import SearchConfig, SearchServiceConfig
from schemas.secrets import refuse_secrets
from schemas.serving_config import ServingConfig
from schemas.store_config import StoreConfig
from schemas.watch_config import WatchConfig

LANG = r"^[a-z]{2,3}(-[a-z]+)?$"
"""Codes of languages: `en`, `zh-hant`."""


class StageName(StrEnum):
    """Stages of a run, in order."""

    CORPUS = "corpus"
    CHUNK = "chunk"
    DEDUP = "dedup"
    INDEX = "index"
    PROPOSALS = "proposals"
    SPANS = "spans"
    TASKS = "tasks"
    TRAJECTORIES = "trajectories"
    JUDGEMENTS = "judgements"
    DIFFICULTIES = "difficulties"
    REPORT = "report"


class SourceFormat(StrEnum):
    """Format of the sources that pages are read from."""

    AUTO = "auto"
    MEDIAWIKI = "mediawiki"
    CIRRUS = "cirrus"
    TABLE = "table"
    JSONL = "jsonl"
    FOLDER = "folder"


class CorpusConfig(Frozen):
    """Sources of pages, and filters on them."""

    sources: tuple[str, ...] = ()
    """Files, folders, globs, `asset:NAME`, `hf:DATASET[/CONFIG]`, or URLs such as `s3://BUCKET/DUMP.xml.bz2`."""
    format: SourceFormat = SourceFormat.AUTO
    """Format of the sources; `auto` detects it from the first bytes and the names. `folder` means page files, in
    folders or named one by one: a `.txt` or `.md` file holds the text of the page its name is the title of, a `.json`
    file an object."""
    lang: str = Field(default="en", pattern=LANG)
    """Language code of the wiki."""
    simplify_chinese: bool = False
    """Fold traditional Chinese characters to simplified ones (lang zh only)."""
    pages_per_shard: int = Field(default=1000, ge=1)
    """Pages in one shard of documents."""
    min_chars: int | None = Field(default=None, ge=0)
    """Minimum length of a page's text; shorter pages are rejected as `too_short`. Null: 200 for pages of MediaWiki and
    CirrusSearch dumps; rows (jsonl, Parquet, `hf:`) and page files are kept unless empty, because each may be a passage
    (`passages.min_tokens` then applies)."""
    max_page_chars: int = Field(default=4_000_000, ge=1000)
    """Maximum length of a page's markup; longer pages are rejected as `page_too_large`."""

    @field_validator("sources", mode="before")
    @classmethod
    def _take_one(cls, sources: object) -> object:
        return (sources,) if isinstance(sources, str) else sources


class PassagesConfig(Frozen):
    """Chunking of pages into passages."""

    max_tokens: int = Field(default=128, ge=16)
    """Maximum length of a passage, unless a single sentence is longer."""
    min_tokens: int = Field(default=16, ge=1)
    """Minimum length of a passage; shorter ones are rejected as `too_short`."""
    duplicate_similarity: float = Field(default=0.8, gt=0, le=1)
    """Jaccard similarity (over word shingles) to an earlier passage from which a passage is rejected as
    `near_duplicate`."""


class AgentsConfig(Frozen):
    """Solver of the tasks, and its sampling."""

    policy: str = Field(default="extractive", pattern=r"^(extractive|agents|policy)$")
    """Solver: `extractive` (no language model), `agents` (the language models in `llm.roles`) or `policy` (one trained
    model, see the section `policy`)."""
    attempts: int = Field(default=1, ge=1, le=64)
    """Attempts at each task, for each hide mode."""
    rerank: bool = False
    """Rerank the likeliest answers of the extractive agents by the model `masking.scorer`. More of them are right, at
    half a second of a CPU core for each mask."""
    max_turns: int = Field(default=5, ge=1, le=20)
    """Maximum steps of a trajectory."""
    queries_per_turn: int = Field(default=3, ge=3, le=10)
    """Queries that the rewriter writes in each step."""
    temperature: float = Field(default=0.7, ge=0, le=2)
    """Sampling temperature, unless `llm.roles` sets it."""
    max_tokens: int = Field(default=1024, ge=16)
    """Maximum tokens of a reply, unless `llm.roles` sets it."""
    parse_retries: int = Field(default=2, ge=0, le=9)
    """Further requests after a reply that cannot be parsed; then the attempt is rejected as `unreadable_reply`."""
    allow_memory: bool = False
    """Allow the observer to answer from memory; such an answer carries no evidence."""
    dated: bool = False
    """Open each conversation with a system line that gives a date, drawn from the task."""


class JudgingConfig(Frozen):
    """Acceptance of trajectories."""

    min_fuzzy: float = Field(default=0.9, gt=0, le=1)
    """Minimum similarity to the gold at which an answer that is not equal counts as correct."""
    min_recall: float = Field(default=1.0, gt=0, le=1)
    """Minimum token recall at which an answer no longer than twice the gold counts as correct."""
    require_seen: bool = True
    """Reject a correct answer that appears in no passage shown to the agent, because it was guessed."""
    judge: str = Field(default="rules", pattern=r"^(rules|llm|custom)$")
    """Judge: `rules` alone; `llm`, where the model of the role `judge` decides what the rules cannot; or `custom`,
    where `judging.function` decides."""
    function: str | None = Field(default=None, pattern=COMPONENT)
    """Judge of your own, MODULE:FUNCTION, called for each mask as `function(answer, golds, text)`; it returns True or
    False."""
    votes: int = Field(default=1, ge=1, le=15)
    """Verdicts requested for each answer; without a majority the answer is `unjudgeable`."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """Sampling temperature of verdicts, unless `llm.roles` sets it; use more than 0 with several votes."""
    max_tokens: int = Field(default=512, ge=16)
    """Maximum tokens of a verdict, its reason included, unless `llm.roles` sets it."""
    audit: float = Field(default=0.0, ge=0, le=1)
    """Share of the answers correct by the rules that the model judges too, to measure agreement. Does not affect
    rows."""

    @model_validator(mode="after")
    def _has_its_function(self) -> Self:
        if self.judge == "custom" and self.function is None:
            raise ValueError("judge custom needs judging.function=MODULE:FUNCTION")
        return self


class ReportConfig(Frozen):
    """Content of the report."""

    examples: int = Field(default=20, ge=0, le=500)
    """Number of trajectories shown in full."""


class Engine(StrEnum):
    """Executor of shards."""

    LOCAL = "local"
    """Processes on this machine."""
    RAY = "ray"
    """Machines of a Ray cluster, for stages that call no language model; the others run where the run was started."""


class ExecutionConfig(Frozen):
    """Execution of the work. Does not affect rows."""

    engine: Engine = Engine.LOCAL
    """Executor of shards: local, or ray (`pip install 'rampforge[ray]'`)."""
    ray_address: str | None = Field(default=None, pattern=r"^(auto|[^\s/]+:\d+)$")
    """HOST:PORT of the head of the cluster, or auto for the cluster this machine belongs to; null starts one here."""
    shard_cpus: float = Field(default=1.0, gt=0)
    """CPUs that a shard reserves on Ray."""
    shard_gpus: dict[StageName, float] = Field(default_factory=dict)
    """GPUs that a shard of a stage reserves on Ray, such as `{spans: 0.5}`; other stages reserve none."""
    workers: int = Field(default=0, ge=0)
    """Worker processes; 0 means one a core. On Ray: shards in progress at once; 0 means as many as fit."""
    retries: int = Field(default=1, ge=0)
    """Retries of a failed shard."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory available for indexes, in 10^9 bytes; null means that of the machine or its container."""


class RunConfig(Frozen):
    """Complete configuration of a run."""

    # An error message must not repeat what may be a secret.
    model_config = ConfigDict(hide_input_in_errors=True)

    seed: int = 0
    """Seed of every random choice, together with the content."""
    corpus: CorpusConfig = CorpusConfig()
    """Sources of pages, and filters on them."""
    passages: PassagesConfig = PassagesConfig()
    """Chunking of pages into passages."""
    masking: MaskingConfig = MaskingConfig()
    """Selection of the spans to hide."""
    search: SearchConfig = SearchConfig()
    """Search engine of the trajectories."""
    search_service: SearchServiceConfig = SearchServiceConfig()
    """Connection to a search service."""
    agents: AgentsConfig = AgentsConfig()
    """Solver of the tasks, and its sampling."""
    policy: PolicyConfig = PolicyConfig()
    """Trained model that attempts the tasks, for `agents.policy=policy`."""
    judging: JudgingConfig = JudgingConfig()
    """Acceptance of trajectories."""
    prompts: PromptsConfig = PromptsConfig()
    """Prompt templates of your own."""
    llm: LlmConfig = LlmConfig()
    """Language models behind the roles."""
    serving: ServingConfig = ServingConfig()
    """Model server that rampforge starts."""
    report: ReportConfig = ReportConfig()
    """Content of the report."""
    distill: DistillConfig = DistillConfig()
    """Rounds of self-distillation; used by `rampforge distill` only."""
    decontamination: DecontaminationConfig = DecontaminationConfig()
    """Benchmarks to exclude from training data; used by `rampforge export` only."""
    execution: ExecutionConfig = ExecutionConfig()
    """Execution of the work."""
    watch: WatchConfig = WatchConfig()
    """Notifications and metrics of a run."""
    store: StoreConfig = StoreConfig()
    """Handling of a run on an object store."""

    def with_section(self, section: str, **values: object) -> Self:
        """A copy with some values of one section changed; the values are not validated."""
        return self.model_copy(update={section: getattr(self, section).model_copy(update=values)})

    @model_validator(mode="after")
    def _hold_no_secret(self) -> Self:
        refuse_secrets(self)
        return self
