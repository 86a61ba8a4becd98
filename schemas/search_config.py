"""The `search` and `search_service` sections of the configuration: the engine that trajectories search with, and the
connection to a service. `search` affects rows, `search_service` does not.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from schemas.custom_parts import COMPONENT
from schemas.record import Frozen
from schemas.secrets import VariableName
from schemas.trajectories import HideMode


class EngineKind(StrEnum):
    """Search engines."""

    BM25 = "bm25"
    DENSE = "dense"
    HYBRID = "hybrid"
    HTTP = "http"
    WEB = "web"
    SIMULATED = "simulated"
    CUSTOM = "custom"


class DenseIndex(StrEnum):
    """Index structure of the vectors."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVFPQ = "ivfpq"


class DenseConfig(Frozen):
    """Dense retrieval."""

    encoder: str = "all-minilm-l6-v2"
    """Encoder: an asset, a folder, a hub name, or `endpoint:MODEL` for the /v1/embeddings of a server in
    `llm.endpoints`."""
    query_prefix: str | None = None
    """Prefix of every query, such as `query: ` for E5; null: the `query` prompt that sentence-transformers saved with
    the encoder, if any."""
    passage_prefix: str | None = None
    """Prefix of every passage, such as `passage: ` for E5; null: the saved `document` prompt."""
    pooling: str = Field(default="auto", pattern=r"^(auto|mean|cls|last)$")
    """Pooling of token vectors; `auto` as given by the encoder's own sentence-transformers files, else the mean."""
    max_tokens: int = Field(default=256, ge=16)
    """Maximum tokens of a text; the rest is cut off."""
    index: DenseIndex = DenseIndex.FLAT
    """`flat` is exact; `hnsw` and `ivfpq` trade recall for speed and memory."""
    device: str = "auto"
    """Device of the encoder: auto, cpu, cuda, cuda:1, mps."""
    batch: int = Field(default=64, ge=1)
    """Texts encoded in one batch."""


class HybridConfig(Frozen):
    """BM25 and dense retrieval combined by reciprocal rank fusion (Cormack et al. 2009)."""

    constant: float = Field(default=60.0, gt=0)
    """Constant of the fusion: rank r in a list scores 1 / (constant + r)."""
    depth: int = Field(default=100, ge=1)
    """Hits taken from each list."""
    dense_weight: float = Field(default=1.0, ge=0)
    """Weight of the dense list, relative to 1 for BM25."""
    reranker: str | None = None
    """Cross-encoder that reranks the best hits: an asset, a folder or a hub name."""
    rerank_depth: int = Field(default=32, ge=1)
    """Hits that are reranked."""


class HttpProtocol(StrEnum):
    """Protocol of a search server."""

    SEARCH_R1 = "search-r1"
    ASEARCHER = "asearcher"
    ZEROSEARCH = "zerosearch"
    SKYRL = "skyrl"
    RESEARCH = "research"
    R1_SEARCHER = "r1-searcher"
    OPEN_RESEARCHER = "open-researcher"


class WebProvider(StrEnum):
    """Web search providers."""

    SERPAPI = "serpapi"
    SERPER = "serper"
    GOOGLE = "google"
    BRAVE = "brave"
    BING = "bing"
    WIKIPEDIA = "wikipedia"


class WebConfig(Frozen):
    """Web search."""

    provider: WebProvider = WebProvider.WIKIPEDIA
    """Provider."""
    engine_id: str | None = None
    """Search engine id of Google (cx)."""


class SimulationMode(StrEnum):
    """Ways of simulating the search engine by a language model (ZeroSearch, arXiv 2505.04588)."""

    PROMPTED = "prompted"
    TUNED = "tuned"


class SimulatedConfig(Frozen):
    """Search engine simulated by a language model, the role `simulator` in `llm.roles`."""

    mode: SimulationMode = SimulationMode.PROMPTED
    """`prompted`: any chat model, given instructions; `tuned`: a model fine-tuned on simulation-tuning data of
    rampforge."""
    start: float = Field(default=0.0, ge=0, le=1)
    """p_s: share of noisy results at the start of the curriculum."""
    end: float = Field(default=0.5, ge=0, le=1)
    """p_e: share of noisy results at the end of the curriculum."""
    base: float = Field(default=4.0, gt=1)
    """b: base of the curriculum; the larger, the later the noise."""
    steps: int = Field(default=1, ge=1)
    """m: number of steps of the curriculum."""
    step: int = Field(default=0, ge=0)
    """i: position of this run in the curriculum; training advances it."""
    informed: bool = True
    """Give the simulator the masked text and the gold answers, as ZeroSearch does; without them a small model invents
    its useful results. Agents never receive them, but the documents shown to them may reveal the gold; the report
    counts how often. False: the simulator receives the query only."""
    documents: int = Field(default=5, ge=1, le=20)
    """Documents requested."""
    max_tokens: int = Field(default=1024, ge=16)
    """Maximum tokens of a reply, unless `llm.roles` sets it."""


class SearchServiceConfig(Frozen):
    """Connection to a search service: address, timeouts and limits. No key affects a row that is kept: rows depend on
    the fingerprint of the engine behind it."""

    url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Engine `http`: URL of the server, such as http://127.0.0.1:8000. Engine `web`: another URL that speaks the
    provider's JSON; null means the provider's own."""
    key: VariableName | None = None
    """NAME of the environment variable that holds the token or key; null means the usual one of the provider, such as
    SERPER_API_KEY."""
    deadline: float = Field(default=30.0, gt=0)
    """Seconds after which a call ends as `timeout`."""
    tries: int = Field(default=4, ge=1)
    """Maximum tries at one call within its deadline."""
    in_flight: int = Field(default=32, ge=1)
    """Concurrent calls of one process."""
    per_second: float | None = Field(default=None, gt=0)
    """Maximum calls started per second."""
    give_up: int = Field(default=20, ge=1)
    """Consecutive failures after which the circuit breaker opens: calls fail at once until the service answers a
    probe."""
    cache: bool = True
    """Cache what the service answered, with the date and without expiry; errors are never cached."""


class SearchConfig(Frozen):
    """Search engine of the trajectories."""

    engine: EngineKind = EngineKind.BM25
    """Search engine."""
    function: str | None = Field(default=None, pattern=COMPONENT)
    """Engine `custom`: function of your own, MODULE:FUNCTION, called as `function()`; it returns a function
    `search(query, k)` that returns at most k hits, best first, each a mapping with `title`, `text` and optionally `id`
    and `score`."""
    k: int = Field(default=3, ge=1, le=100)
    """Passages shown in one step, after merging."""
    hide: tuple[HideMode, ...] = (HideMode.PASSAGE,)
    """What to withhold of a task's source; each task is attempted once for each mode named."""
    hide_copies: bool = True
    """Also withhold near-copies of the source: passages that share ten consecutive words with it."""
    k1: float = Field(default=1.2, gt=0)
    """Term saturation of BM25."""
    b: float = Field(default=0.75, ge=0, le=1)
    """Length normalisation of BM25."""
    tokenizer: str = Field(default="auto", pattern=r"^(auto|english|words|pairs|jieba)$")
    """Tokenizer of BM25: `auto` by language, `english` stems, `pairs` and `jieba` are for Chinese."""
    dense: DenseConfig = DenseConfig()
    """Dense retrieval."""
    hybrid: HybridConfig = HybridConfig()
    """BM25 and dense retrieval combined."""
    protocol: HttpProtocol = HttpProtocol.SEARCH_R1
    """Protocol of the server, for engine `http`."""
    web: WebConfig = WebConfig()
    """Web search."""
    simulated: SimulatedConfig = SimulatedConfig()
    """Search engine simulated by a language model."""

    @model_validator(mode="after")
    def _has_its_function(self) -> Self:
        if self.engine is EngineKind.CUSTOM and self.function is None:
            raise ValueError("engine custom needs search.function=MODULE:FUNCTION")
        return self
