"""The configuration of a run, by section. A YAML file has the same shape; `--set section.key=value` overrides a key.

Sections decide rows; `execution`, `store`, `watch`, `serving` and `search_service` cannot change a row, nor can `llm`
apart from `llm.roles` and the prices of the agents' models: only these a run may be continued under with other values.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from schemas.distill_config import DistillConfig
from schemas.evaluations import DecontaminationConfig
from schemas.llm_config import LlmConfig
from schemas.policies import PolicyConfig
from schemas.record import Frozen
from schemas.search_config import SearchConfig, SearchServiceConfig
from schemas.secrets import refuse_secrets
from schemas.serving_config import ServingConfig
from schemas.store_config import StoreConfig
from schemas.tasks import AnswerStyle
from schemas.watch_config import WatchConfig


class SourceFormat(StrEnum):
    """The kinds of source that pages are read from."""

    AUTO = "auto"
    MEDIAWIKI = "mediawiki"
    CIRRUS = "cirrus"
    TABLE = "table"
    JSONL = "jsonl"
    FOLDER = "folder"


class CorpusConfig(Frozen):
    """Where pages come from and which are kept."""

    sources: tuple[str, ...] = ()
    """Files, folders, globs, `asset:NAME`, `hf:DATASET[/CONFIG]`, or URLs such as `s3://BUCKET/DUMP.xml.bz2`."""
    format: SourceFormat = SourceFormat.AUTO
    """How the sources are written; `auto` looks at first bytes and names. `folder` is page files, in folders or named
    one by one: `.txt` and `.md` hold the text of the page that their name is the title of, `.json` an object."""
    lang: str = Field(default="en", pattern=r"^[a-z]{2,3}(-[a-z]+)?$")
    """Language code of the wiki."""
    simplify_chinese: bool = False
    """Fold traditional Chinese characters to simplified ones (lang zh only)."""
    pages_per_shard: int = Field(default=1000, ge=1)
    """Pages read for one shard of documents."""
    min_chars: int | None = Field(default=None, ge=0)
    """A page with less text than this is rejected as `too_short`. Null: 200 for pages of MediaWiki and CirrusSearch
    dumps; rows (jsonl, Parquet, `hf:`) and page files are kept unless empty, for each may be a passage
    (`passages.min_tokens` then decides)."""
    max_page_chars: int = Field(default=4_000_000, ge=1000)
    """A page with more markup than this is rejected as `page_too_large`."""

    @field_validator("sources", mode="before")
    @classmethod
    def _take_one(cls, sources: object) -> object:
        return (sources,) if isinstance(sources, str) else sources


class PassagesConfig(Frozen):
    """How pages are cut."""

    max_tokens: int = Field(default=128, ge=16)
    """A passage holds at most so many tokens, unless a single sentence is longer."""
    min_tokens: int = Field(default=16, ge=1)
    """A shorter passage is rejected as `too_short`."""
    duplicate_similarity: float = Field(default=0.8, gt=0, le=1)
    """A passage this similar (Jaccard over word shingles) to an earlier one is rejected as `near_duplicate`."""


class Selection(StrEnum):
    """How the spans to hide are drawn from those that may be hidden."""

    RANDOM = "random"
    PERPLEXITY = "perplexity"
    BAND = "band"


class MaskingConfig(Frozen):
    """Which spans are hidden."""

    limit: int | None = Field(default=None, ge=1)
    """Stop at so many tasks; passages are then sampled evenly over the corpus. None: every passage."""
    tasks_per_passage: int = Field(default=1, ge=1, le=8)
    """Up to so many tasks from one passage, sharing no span."""
    ner: str | None = "en_core_web_sm"
    """What finds names: a spaCy pipeline (an asset, an installed package, a folder), `jieba` for Chinese, or null."""
    links: bool = True
    """Use the page's own wikilinks."""
    rules: bool = True
    """Use the date and number rules."""
    extractor: bool = False
    """Ask the model of the role `extractor` for spans too."""
    extractor_tokens: int = Field(default=1024, ge=16)
    """Longest reply of the extractor, where `llm.roles` does not say."""
    scorer: str | None = "smollm2-135m-instruct"
    """Causal language model for perplexities: an asset, a folder or a hub name; none to leave perplexity out."""
    device: str = "auto"
    """Where the scorer runs: auto, cpu, cuda, cuda:1, mps."""
    min_chars: int = Field(default=2, ge=1)
    """A shorter span is dropped (digits excepted)."""
    max_words: int = Field(default=8, ge=1)
    """A longer span is dropped."""
    min_perplexity: float = Field(default=2.0, ge=1)
    """Below it a span is inferable from the rest."""
    max_perplexity: float = Field(default=1_000_000.0, gt=1)
    """Above it a span is noise."""
    selection: Selection = Selection.BAND
    """`random`: any span; `band`: any span within the band; `perplexity`: highest first, within the band. A span of
    kind `term` is always the last resort."""
    mask_counts: tuple[int, ...] = (1, 2, 3, 4)
    """The numbers of masks wanted; tasks are balanced over them as far as passages allow."""
    answer_style: AnswerStyle = AnswerStyle.SPANS
    """What the solver is asked to write."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_perplexity >= self.max_perplexity:
            raise ValueError("min_perplexity must be below max_perplexity")
        if not self.mask_counts or not set(self.mask_counts) <= {1, 2, 3, 4}:
            raise ValueError("mask_counts takes numbers from 1 to 4")
        if self.scorer is None and self.selection is not Selection.RANDOM:
            raise ValueError("selection band and perplexity need a scorer; set masking.selection=random")
        return self


class AgentsConfig(Frozen):
    """Who attempts the tasks."""

    policy: str = Field(default="extractive", pattern=r"^(extractive|agents|policy)$")
    """Who attempts: `extractive` needs no language model; `agents` are played by those of `llm.roles`; `policy` is one
    trained model, see the section `policy`."""
    attempts: int = Field(default=1, ge=1, le=64)
    """Attempts at each task for each hide mode."""
    max_turns: int = Field(default=5, ge=1, le=20)
    """Steps after which a trajectory ends."""
    queries_per_turn: int = Field(default=3, ge=3, le=10)
    """Queries the rewriter makes for each step."""
    temperature: float = Field(default=0.7, ge=0, le=2)
    """How language models draw their replies, where `llm.roles` does not say."""
    max_tokens: int = Field(default=1024, ge=16)
    """Longest reply of a language model, where `llm.roles` does not say."""
    parse_retries: int = Field(default=2, ge=0, le=9)
    """Times a reply that cannot be read is asked for again; then the attempt is rejected as `unreadable_reply`."""
    allow_memory: bool = False
    """The observer may answer from memory; such an answer carries no evidence."""
    dated: bool = False
    """Open each conversation with a system line that names a day, drawn from the task."""


class JudgingConfig(Frozen):
    """What is accepted."""

    min_fuzzy: float = Field(default=0.9, gt=0, le=1)
    """An answer at least this similar to the gold counts as right even when it is not equal."""
    min_recall: float = Field(default=1.0, gt=0, le=1)
    """An answer with at least this token recall, and no longer than twice the gold, counts as right."""
    require_seen: bool = True
    """Reject a right answer that stands in no passage shown: it was guessed."""
    judge: str = Field(default="rules", pattern=r"^(rules|llm)$")
    """`rules` alone, or `llm`: the model of the role `judge` gets what the rules cannot settle."""
    votes: int = Field(default=1, ge=1, le=15)
    """Verdicts asked of the model for each answer; more than half must agree, else it is unjudgeable."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """How the model draws its verdicts, where `llm.roles` does not say; above 0 for several votes."""
    max_tokens: int = Field(default=512, ge=16)
    """Longest verdict, reason included, where `llm.roles` does not say."""
    audit: float = Field(default=0.0, ge=0, le=1)
    """Share of the answers right by the rules that the model judges too, to see whether it agrees; changes nothing."""


class ReportConfig(Frozen):
    """What the report shows."""

    examples: int = Field(default=20, ge=0, le=500)
    """Trajectories shown in full."""


class Engine(StrEnum):
    """Where shards are worked on."""

    LOCAL = "local"
    """Processes of this machine."""
    RAY = "ray"
    """The machines of a Ray cluster, for stages that call no language model; these stay where the run was started."""


class ExecutionConfig(Frozen):
    """How the work is run. No value here can change a row."""

    engine: Engine = Engine.LOCAL
    """Where shards are worked on: local, or ray (`pip install 'rampforge[ray]'`)."""
    ray_address: str | None = Field(default=None, pattern=r"^(auto|[^\s/]+:\d+)$")
    """HOST:PORT of the cluster's head, or auto for the cluster that this machine belongs to; null starts one here."""
    shard_cpus: float = Field(default=1.0, gt=0)
    """CPUs that a shard takes on Ray."""
    shard_gpus: dict[str, float] = Field(default_factory=dict)
    """GPUs that a shard of a stage takes on Ray, such as `{spans: 0.5}`; stages not named take none."""
    workers: int = Field(default=0, ge=0)
    """Processes; 0 means one a core. On Ray: shards under way; 0 means as many as there is room for."""
    retries: int = Field(default=1, ge=0)
    """Times a failed shard is tried again."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory that indexes may count on, in 10^9 bytes; null means what the machine, or its container, has."""


class RunConfig(Frozen):
    """Everything that decides what a run makes."""

    # An error message must not repeat what may be a secret.
    model_config = ConfigDict(hide_input_in_errors=True)

    seed: int = 0
    """Every random choice follows from it and from content."""
    corpus: CorpusConfig = CorpusConfig()
    """Where pages come from and which are kept."""
    passages: PassagesConfig = PassagesConfig()
    """How pages are cut."""
    masking: MaskingConfig = MaskingConfig()
    """Which spans are hidden."""
    search: SearchConfig = SearchConfig()
    """What trajectories search with."""
    search_service: SearchServiceConfig = SearchServiceConfig()
    """Where a search service is, and how hard it is asked."""
    agents: AgentsConfig = AgentsConfig()
    """Who attempts the tasks."""
    policy: PolicyConfig = PolicyConfig()
    """A trained model that attempts the tasks by itself."""
    judging: JudgingConfig = JudgingConfig()
    """What is accepted."""
    llm: LlmConfig = LlmConfig()
    """Language models behind the roles."""
    serving: ServingConfig = ServingConfig()
    """A model server of our own."""
    report: ReportConfig = ReportConfig()
    """What the report shows."""
    distill: DistillConfig = DistillConfig()
    """Rounds of self-distillation; a run by itself does not look here."""
    decontamination: DecontaminationConfig = DecontaminationConfig()
    """What must not be trained on; a run by itself does not look here, an export does."""
    execution: ExecutionConfig = ExecutionConfig()
    """How the work is run."""
    watch: WatchConfig = WatchConfig()
    """Who is told how a run goes."""
    store: StoreConfig = StoreConfig()
    """How a run is kept on an object store, when it lies on one."""

    @model_validator(mode="after")
    def _hold_no_secret(self) -> Self:
        refuse_secrets(self)
        return self
