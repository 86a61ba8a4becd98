"""What attempts ask: a language model and the search engine that is closed along with it, or an engine alone."""

from __future__ import annotations

from pipeline.llm.chat_model import ChatReply, ChatRequest, ModelService
from pipeline.search.engine import AsyncSearchEngine
from schemas.live import EndpointLive


class ModelWithEngine:
    """A ModelService that closes an engine too, in the event loop that used both."""

    def __init__(self, model: ModelService, engine: AsyncSearchEngine) -> None:
        self._model = model
        self._engine = engine

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply. Raises ModelError."""
        return await self._model.ask(request)

    def stop(self) -> None:
        """Send the model nothing more; searches under way end by themselves."""
        self._model.stop()

    def load(self) -> tuple[EndpointLive, ...]:
        """What the model's endpoints are doing."""
        return self._model.load()

    async def close(self) -> None:
        """Close both."""
        await self._model.close()
        await self._engine.close()


class EngineAlone:
    """What attempts without a language model ask: an engine, closed in the event loop that used it."""

    def __init__(self, engine: AsyncSearchEngine) -> None:
        self._engine = engine

    def stop(self) -> None:
        """Searches under way end by themselves."""

    def load(self) -> tuple[EndpointLive, ...]:
        """No endpoint of a model is asked."""
        return ()

    async def close(self) -> None:
        """Close it."""
        await self._engine.close()
