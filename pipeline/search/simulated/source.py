"""Simulated search engine: a language model that writes useful or noisy documents for a query (ZeroSearch, arXiv
2505.04588).

Guarantees: usefulness is a function of the query's content and the step of the curriculum, so that a rerun gives the
same, and a noisy query stays noisy while the share of noise rises; every document is labelled with its usefulness; a
copy of the prompt is not a document, and a reply without documents is requested again and then an error, never an empty
result; errors of the endpoint and spent budgets are raised, because they end the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline.llm.chat_model import ChatReply, ChatRequest, Message, OpenedModel, RefusedRequestError
from pipeline.llm.event_loop import gather_all
from pipeline.llm.roles import describe_models
from pipeline.search.engine import Answer, FoundPassage, SearchRequest, check_query, fail_call, make_call
from pipeline.search.simulated.prompts import SimulationFacts, list_simulation_prompts, write_prompt
from pipeline.text.near_copies import cut_triples
from prompts.document_scan import Draft, read_documents
from schemas.llm_config import RoleModelConfig
from schemas.record import content_id
from schemas.roles import Role
from schemas.search_config import SimulatedConfig
from schemas.trajectories import Hit, Usefulness

TEMPERATURE = 0.7
"""Default: at 0 a retry would give the same reply without documents."""
TRIES = 3
"""Replies requested until one contains documents."""
ECHO = 0.5
"""Share of a document's word triples in the prompt, from which on it is a copy of the prompt."""


def noise_share(config: SimulatedConfig, progress: float | None = None) -> float:
    """Share of queries with noisy results: p_i = p_s + (b^(i/m) - 1) / (b - 1) * (p_e - p_s). A step past the last
    counts as the last. `progress`: i/m; None: by the configured step."""
    if progress is None:
        progress = min(config.step, config.steps) / config.steps
    rise: float = (config.base**progress - 1) / (config.base - 1)
    return config.start + rise * (config.end - config.start)


def choose_usefulness(share: float, *content: object) -> Usefulness:
    """The usefulness of a content by its hash: noisy for this share of all contents."""
    position = int(content_id("usefulness", *content), 16) / 16**20
    return Usefulness.NOISY if position < share else Usefulness.USEFUL


class SimulatedSource:
    """A PassageSource over a chat model. Used inside one event loop at a time."""

    hides = False

    def __init__(
        self,
        config: SimulatedConfig,
        models: Mapping[str, RoleModelConfig],
        lang: str,
        open_model: Callable[[], OpenedModel],
    ) -> None:
        """`models`: the configuration's `llm.roles`; `open_model`: opens the model at the first search."""
        self._config = config
        self._models = describe_models(models, (Role.SIMULATOR,))
        self._lang = lang
        self._open_model = open_model
        self._model: OpenedModel | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of the settings, the model and the prompts."""
        settings = self._config.model_dump(mode="json")
        prompts = [prompt.digest for prompt in list_simulation_prompts(self._config.mode, self._lang)]
        return content_id("simulated", settings, self._models, self._lang, prompts)

    def identify(self, request: SearchRequest) -> list[str | int | None]:
        """The query; for an informed simulator, also its facts; in a training, also the usefulness at its step."""
        content = self._list_content(request)
        return content if request.progress is None else [*content, self._choose(request)]

    def _list_content(self, request: SearchRequest) -> list[str | int | None]:
        return [request.query, *((request.question, *request.answers) if self._config.informed else ())]

    def _choose(self, request: SearchRequest) -> Usefulness:
        return choose_usefulness(noise_share(self._config, request.progress), *self._list_content(request))

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        """Answer every request; a blank query has no results. Raises ModelError for what ends the run."""
        return await gather_all(self._find_one(request, k) for request in requests)

    async def close(self) -> None:
        """Close connections."""
        if self._model is not None:
            await self._model.close()

    async def _find_one(self, request: SearchRequest, k: int) -> Answer:
        query, refused = check_query(request, k)
        if refused is not None or not query.strip():
            return Answer(refused or make_call(query, ()))
        usefulness = self._choose(request)
        try:
            drafts = await self._write(query, request, usefulness)
        except RefusedRequestError as error:
            return Answer(fail_call(query, f"{error.reason}: {error.what}"))
        if not drafts:
            return Answer(fail_call(query, f"no document in {TRIES} replies"))
        passages = tuple(_make_passage(draft, usefulness) for draft in drafts[:k])
        hits = tuple(
            Hit(passage_id=passage.passage_id, score=1 / rank, usefulness=usefulness)
            for rank, passage in enumerate(passages, start=1)
        )
        return Answer(make_call(query, hits), passages)

    async def _write(self, query: str, request: SearchRequest, usefulness: Usefulness) -> list[Draft]:
        config = self._config
        self._model = self._model or self._open_model()
        facts = SimulationFacts(request.question, request.answers) if config.informed and request.answers else None
        prompt = write_prompt(config.mode, self._lang, query, config.documents, usefulness, facts)
        messages = (Message("user", prompt),)
        for attempt in range(TRIES):
            chat = ChatRequest(Role.SIMULATOR, messages, attempt, TEMPERATURE, config.max_tokens)
            drafts = _take_drafts(await self._model.model.ask(chat), config.documents)
            own = [draft for draft in drafts if not echoes(draft.text, prompt)]
            if own:
                return own
        return []


def echoes(text: str, prompt: str) -> bool:
    """Whether a text is copied from the prompt, as weak models do: its instructions, or the masked passage."""
    triples = cut_triples(text)
    return bool(triples) and len(triples & cut_triples(prompt)) >= ECHO * len(triples)


def _take_drafts(reply: ChatReply, limit: int) -> list[Draft]:
    """The documents of a reply, without the last one of a truncated reply unless it is the only one."""
    drafts = read_documents(reply.text, limit + 1)
    if reply.finish_reason == "length" and 1 < len(drafts) <= limit:
        del drafts[-1]
    return drafts[:limit]


def _make_passage(draft: Draft, usefulness: Usefulness) -> FoundPassage:
    return FoundPassage(content_id("simulated", usefulness, draft.title, draft.text), draft.title, draft.text)
