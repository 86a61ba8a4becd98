"""A language model as a search engine: it writes useful or noisy documents for a query (ZeroSearch, arXiv 2505.04588).

Promises: which of the two a query gets follows from its content and the step of the curriculum, so a rerun draws the
same, and a query that is noisy at one step stays so while the share of noise rises; every document carries what it was
made to be; words of the prompt that come back are no document, and a reply without documents is asked for again and
then an error, never an empty result; a fault of the endpoint or a spent budget is passed on, because it ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline.llm.chat_model import ChatReply, ChatRequest, Message, OpenedModel, RefusedRequestError
from pipeline.llm.event_loop import gather_all
from pipeline.llm.roles import describe_models
from pipeline.search.engine import Answer, FoundPassage, SearchRequest, fail_call
from pipeline.search.queries import check_query, make_call
from pipeline.search.simulated.prompts import SimulationFacts, list_simulation_prompts, write_prompt
from pipeline.text.near_copies import cut_triples
from prompts.document_scan import Draft, read_documents
from schemas.llm_config import RoleModelConfig
from schemas.record import content_id
from schemas.roles import Role
from schemas.search_config import SimulatedConfig
from schemas.trajectories import Hit, Usefulness

TEMPERATURE = 0.7
"""Unless `llm.roles` says otherwise: at 0 a reply without documents would come again."""
TRIES = 3
"""Replies asked for until one holds documents."""


def noise_share(config: SimulatedConfig, progress: float | None = None) -> float:
    """Share of queries with noisy results: p_i = p_s + (b^(i/m) - 1) / (b - 1) * (p_e - p_s). A step past the last
    counts as the last. `progress`: i/m, where the one who asks knows better than the configuration."""
    if progress is None:
        progress = min(config.step, config.steps) / config.steps
    rise: float = (config.base**progress - 1) / (config.base - 1)
    return config.start + rise * (config.end - config.start)


def draw_usefulness(share: float, *content: object) -> Usefulness:
    """Noisy for this share of all contents, by their hash."""
    place = int(content_id("usefulness", *content), 16) / 16**20
    return Usefulness.NOISY if place < share else Usefulness.USEFUL


ECHO = 0.5
"""Share of a document's word triples that stand in the prompt, from which on it is no document."""


class SimulatedSource:
    """Asks a chat model for documents. Used inside one event loop at a time."""

    hides = False

    def __init__(
        self,
        config: SimulatedConfig,
        models: Mapping[str, RoleModelConfig],
        lang: str,
        open_model: Callable[[], OpenedModel],
    ) -> None:
        """`models`: the configuration's `llm.roles`; `open_model`: makes the model when it is first asked."""
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
        """The query; for an informed simulator, also what it is told; in a training, also what is drawn at its step."""
        content = self._list_content(request)
        return content if request.progress is None else [*content, self._draw(request)]

    def _list_content(self, request: SearchRequest) -> list[str | int | None]:
        return [request.query, *((request.question, *request.answers) if self._config.informed else ())]

    def _draw(self, request: SearchRequest) -> Usefulness:
        return draw_usefulness(noise_share(self._config, request.progress), *self._list_content(request))

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        """Answer every request; a blank query has no results. Raises ModelError for what ends the run."""
        return await gather_all(self._find_one(request, k) for request in requests)

    async def close(self) -> None:
        """Let connections go."""
        if self._model is not None:
            await self._model.close()

    async def _find_one(self, request: SearchRequest, k: int) -> Answer:
        query, refused = check_query(request, k)
        if refused is not None or not query.strip():
            return Answer(refused or make_call(query, ()))
        usefulness = self._draw(request)
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
        for attempt in range(TRIES):
            asked = ChatRequest(Role.SIMULATOR, (Message("user", prompt),), attempt, TEMPERATURE, config.max_tokens)
            drafts = _take_drafts(await self._model.model.ask(asked), config.documents)
            own = [draft for draft in drafts if not echoes(draft.text, prompt)]
            if own:
                return own
        return []


def echoes(text: str, prompt: str) -> bool:
    """Whether a text is the prompt's own words, as weak models write: its orders, or the passage in question."""
    triples = cut_triples(text)
    return bool(triples) and len(triples & cut_triples(prompt)) >= ECHO * len(triples)


def _take_drafts(reply: ChatReply, most: int) -> list[Draft]:
    """The documents of a reply; the last of one that was cut off is left out, unless it is the only one."""
    drafts = read_documents(reply.text, most + 1)
    if reply.finish_reason == "length" and 1 < len(drafts) <= most:
        del drafts[-1]
    return drafts[:most]


def _make_passage(draft: Draft, usefulness: Usefulness) -> FoundPassage:
    return FoundPassage(content_id("simulated", usefulness, draft.title, draft.text), draft.title, draft.text)
