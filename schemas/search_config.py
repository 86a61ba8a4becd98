"""The `search` and `search_service` sections of the configuration: which engine trajectories search with, and how a
service is reached. `search` decides rows, `search_service` cannot.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.record import Frozen
from schemas.secrets import VariableName
from schemas.trajectories import HideMode


class EngineKind(StrEnum):
    """The search engines."""

    BM25 = "bm25"
    DENSE = "dense"
    HYBRID = "hybrid"
    HTTP = "http"
    WEB = "web"
    SIMULATED = "simulated"


class DenseIndex(StrEnum):
    """How vectors are searched."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVFPQ = "ivfpq"


class DenseConfig(Frozen):
    """Search by the nearness of vectors."""

    encoder: str = "all-minilm-l6-v2"
    """What turns text into vectors: an asset, a folder, a hub name, or `endpoint:MODEL` for the
    /v1/embeddings of a server in `llm.endpoints`."""
    query_prefix: str | None = None
    """Put before every query, such as `query: ` for E5; null: the `query` prompt that sentence-transformers saved
    beside the encoder, if there is one."""
    passage_prefix: str | None = None
    """Put before every passage, such as `passage: ` for E5; null: the saved `document` prompt."""
    pooling: str = Field(default="auto", pattern=r"^(auto|mean|cls|last)$")
    """How token vectors become one; `auto` as the encoder's own sentence-transformers files say, else the mean."""
    max_tokens: int = Field(default=256, ge=16)
    """Text is cut after so many tokens."""
    index: DenseIndex = DenseIndex.FLAT
    """`flat` is exact; `hnsw` and `ivfpq` trade recall for speed and memory."""
    device: str = "auto"
    """Where the encoder runs: auto, cpu, cuda, cuda:1, mps."""
    batch: int = Field(default=64, ge=1)
    """Texts encoded together."""


class HybridConfig(Frozen):
    """BM25 and vectors together, by reciprocal rank fusion (Cormack et al. 2009)."""

    constant: float = Field(default=60.0, gt=0)
    """Rank r in a list counts 1 / (constant + r)."""
    depth: int = Field(default=100, ge=1)
    """Hits taken of each list."""
    dense_weight: float = Field(default=1.0, ge=0)
    """Weight of the dense list; that of BM25 is 1."""
    reranker: str | None = None
    """A cross-encoder that orders the best anew: an asset, a folder or a hub name."""
    rerank_depth: int = Field(default=32, ge=1)
    """Hits given to the reranker."""


class HttpProtocol(StrEnum):
    """What a search server speaks."""

    SEARCH_R1 = "search-r1"
    ZEROSEARCH = "zerosearch"


class WebProvider(StrEnum):
    """Search services on the web."""

    SERPAPI = "serpapi"
    SERPER = "serper"
    GOOGLE = "google"
    BRAVE = "brave"
    BING = "bing"
    WIKIPEDIA = "wikipedia"


class WebConfig(Frozen):
    """A search service on the web."""

    provider: WebProvider = WebProvider.WIKIPEDIA
    """Which."""
    engine_id: str | None = None
    """Google's search engine id (cx)."""


class SimulationMode(StrEnum):
    """How a language model plays the search engine (ZeroSearch, arXiv 2505.04588)."""

    PROMPTED = "prompted"
    TUNED = "tuned"


class SimulatedConfig(Frozen):
    """A language model that plays the search engine; the role is `simulator` in `llm.roles`."""

    mode: SimulationMode = SimulationMode.PROMPTED
    """`prompted`: any chat model, told what to write; `tuned`: one fine-tuned on our simulation data."""
    start: float = Field(default=0.0, ge=0, le=1)
    """p_s: share of noisy results at the start of the curriculum."""
    end: float = Field(default=0.5, ge=0, le=1)
    """p_e: share of noisy results at its end."""
    base: float = Field(default=4.0, gt=1)
    """b: how late the noise comes."""
    steps: int = Field(default=1, ge=1)
    """m: steps of the curriculum."""
    step: int = Field(default=0, ge=0)
    """i: where in the curriculum this run is; training moves it."""
    informed: bool = True
    """Tell the simulator the masked text and the gold answers, as ZeroSearch does: without them a small model's useful
    results are made up. No agent is told; but what it is shown may then hand over the gold, and the report says how
    often. False: the simulator knows the query alone."""
    documents: int = Field(default=5, ge=1, le=20)
    """Documents asked for."""
    max_tokens: int = Field(default=1024, ge=16)
    """Longest reply, where `llm.roles` does not say."""


class SearchServiceConfig(Frozen):
    """Where a search service is, and how long and how hard it is asked. No key of it can change a row that is kept:
    what decides is the fingerprint of the engine behind it."""

    url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Engine `http`: where the server listens, such as http://127.0.0.1:8000. Engine `web`: another address that speaks
    the provider's JSON; null means the provider's own."""
    key: VariableName | None = None
    """NAME of the environment variable that holds the token or key; null means the provider's usual one, such as
    SERPER_API_KEY."""
    deadline: float = Field(default=30.0, gt=0)
    """Seconds after which a call becomes `timeout`."""
    tries: int = Field(default=4, ge=1)
    """Tries at one call inside its deadline."""
    in_flight: int = Field(default=32, ge=1)
    """Calls under way at once in one process."""
    per_second: float | None = Field(default=None, gt=0)
    """Calls started in a second, at most."""
    give_up: int = Field(default=20, ge=1)
    """Failures in a row after which the circuit opens: calls fail at once until the service answers a probe."""
    cache: bool = True
    """Keep for good what the service answered, with the date; an error is never kept."""


class SearchConfig(Frozen):
    """What trajectories search with."""

    engine: EngineKind = EngineKind.BM25
    """The search engine."""
    k: int = Field(default=3, ge=1, le=100)
    """Passages shown for a step, after merging."""
    hide: tuple[HideMode, ...] = (HideMode.PASSAGE,)
    """What of a task's source is withheld; each task is attempted once for each mode named."""
    hide_copies: float | None = Field(default=None, gt=0, le=1)
    """Withhold, with the source, passages this similar to it (share of its word triples); null: only the source."""
    k1: float = Field(default=1.2, gt=0)
    """BM25's term saturation."""
    b: float = Field(default=0.75, ge=0, le=1)
    """BM25's length normalisation."""
    tokenizer: str = Field(default="auto", pattern=r"^(auto|english|words|pairs|jieba)$")
    """How BM25 cuts text: `auto` by language, `english` stems, `pairs` and `jieba` are for Chinese."""
    dense: DenseConfig = DenseConfig()
    """Search by vectors."""
    hybrid: HybridConfig = HybridConfig()
    """Both together."""
    protocol: HttpProtocol = HttpProtocol.SEARCH_R1
    """What the server of engine `http` speaks."""
    web: WebConfig = WebConfig()
    """A search service on the web."""
    simulated: SimulatedConfig = SimulatedConfig()
    """A language model that plays the search engine."""
