"""Tools of the Model Context Protocol over an index: search, open, find, and fetch as OpenAI's connectors want it.

Contract: a result is structured content that fits the tool's schema, and the same as compact JSON in its text; a bad
argument, an unknown page or a failed search is a result with its status or an error that the model can read, never a
broken reply. Where sources are hidden, each call names its task: by the header `x-rampforge-task`, by `?task=` in the
URL, or by `rampforge/task` in the call's `_meta`; over stdio the process may serve one task alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import orjson
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from pipeline.errors import SearchError
from pipeline.search.engine import MAX_QUERY_CHARS, SearchEngine, SearchRequest
from pipeline.search.page_reader import (
    MAX_NAME_CHARS,
    MAX_PART_CHARS,
    PART_CHARS,
    Match,
    PageReader,
    PageRequest,
    PageStatus,
    write_address,
)
from pipeline.search_server.requests import Exclusion
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.task_sources import NoTaskError, TaskSources, list_tasks
from schemas.trajectories import SearchStatus

T = TypeVar("T")

META_KEY = "rampforge/task"
MAX_RESULTS = 50
READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
FAILED = (SearchStatus.ERROR, SearchStatus.TIMEOUT)


class FoundDocument(BaseModel):
    """A passage that was found."""

    id: str
    title: str
    url: str
    text: str


class FoundDocuments(BaseModel):
    """Passages that were found, best first."""

    results: list[FoundDocument]


class FetchedDocument(BaseModel):
    """A whole page."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, str] = {}


class OpenedPart(BaseModel):
    """A part of a page."""

    status: PageStatus
    title: str = ""
    url: str = ""
    text: str = ""
    cursor: int | None = None
    next_cursor: int | None = None
    sections: list[str] = []


class FoundPlace(BaseModel):
    """A place where the string stands."""

    cursor: int
    section: str
    snippet: str


class FoundPlaces(BaseModel):
    """Places of a string in a page."""

    status: PageStatus
    title: str = ""
    count: int = 0
    matches: list[FoundPlace] = []


Query = Annotated[str, Field(max_length=MAX_QUERY_CHARS, description="What to search for.")]
Page = Annotated[str, Field(max_length=MAX_NAME_CHARS, description="Title, id or url of a page, or id of a passage.")]
Section = Annotated[str, Field(max_length=MAX_NAME_CHARS, description="Heading: only this section is read.")]
Cursor = Annotated[int | None, Field(ge=0, description="Where to begin: `next_cursor` of the part before.")]


class IndexTools:
    """The tools."""

    def __init__(
        self, engine: SearchEngine, reader: PageReader, sources: TaskSources, k: int, task: str | None = None
    ) -> None:
        """`engine`: hides near-copies too, where sources are hidden; `k`: documents of a search, unless the call says
        otherwise; `task`: that of all calls."""
        self._engine, self._reader, self._sources, self._k, self._task = engine, reader, sources, k, task
        self._page_thread = ThreadPoolExecutor(1)  # a page may be long; searches go on meanwhile

    def make_server(self) -> MCPServer[Any]:
        """The server of the protocol."""
        server: MCPServer[Any] = MCPServer(
            "rampforge", instructions="Search an encyclopedia, open its pages, find strings in them."
        )
        for tool in (self.search, self.fetch, self.open, self.find):
            server.tool(annotations=READS)(tool)
        return server

    async def search(
        self, context: Context, query: Query, k: Annotated[int | None, Field(ge=1, le=MAX_RESULTS)] = None
    ) -> Annotated[CallToolResult, FoundDocuments]:
        """Search the encyclopedia. Returns passages, best first, each with the id and url of its page."""
        request = SearchRequest(query, **_hide(self._find_source(context)))
        (call,) = self._engine.search([request], k or self._k)
        if call.status in FAILED:
            raise ToolError(str(call.detail))
        found = self._engine.read([hit.passage_id for hit in call.hits])
        addresses = ["" if p.page_id is None else write_address(p.page_id) for p in found]
        return _answer(FoundDocuments(results=[
            FoundDocument(id=p.passage_id, title=p.title, url=url, text=p.text)
            for p, url in zip(found, addresses, strict=True)
        ]))  # fmt: skip

    async def fetch(self, context: Context, id: Page) -> Annotated[CallToolResult, FetchedDocument]:
        """Fetch a whole page by the id or url of a search result."""
        request = PageRequest(id, cursor=0, max_chars=MAX_PART_CHARS, **_hide(self._find_source(context)))
        part = await self._read(self._reader.open, request)
        if part.status is not PageStatus.OK or part.page_id is None:
            raise ToolError(f"no such page ({part.status})")
        return _answer(FetchedDocument(id=id, title=part.title, text=part.text, url=write_address(part.page_id)))

    async def open(
        self,
        context: Context,
        page: Page,
        section: Section = "",
        cursor: Cursor = None,
        max_chars: Annotated[int, Field(ge=1, le=MAX_PART_CHARS)] = PART_CHARS,
    ) -> Annotated[CallToolResult, OpenedPart]:
        """Open a page, or a section of it, part by part."""
        hidden = _hide(self._find_source(context))
        request = PageRequest(page, section, cursor, max_chars=max_chars, **hidden)
        part = await self._read(self._reader.open, request)
        url = "" if part.page_id is None else write_address(part.page_id)
        kept = {name: value for name, value in asdict(part).items() if name in OpenedPart.model_fields}
        return _answer(OpenedPart(**kept, url=url))

    async def find(
        self,
        context: Context,
        page: Page,
        text: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, description="String to find.")],
        section: Section = "",
        cursor: Cursor = None,
    ) -> Annotated[CallToolResult, FoundPlaces]:
        """Find a string in a page; case does not matter."""
        request = PageRequest(page, section, cursor, text, **_hide(self._find_source(context)))
        found = await self._read(self._reader.find, request)
        return _answer(FoundPlaces(
            status=found.status, title=found.title, count=found.count, matches=list(map(_describe, found.matches))
        ))  # fmt: skip

    def _find_source(self, context: Context) -> Exclusion | None:
        """What is hidden from a call. Raises ToolError where it cannot be told, or copies of it cannot be found."""
        try:
            source = self._sources.find([self._task, *_list_tasks(context)])
            if source is not None:
                self._engine.read([source.passage_id])
        except NoTaskError as error:
            raise ToolError(str(error)) from None
        except SearchError:
            raise ToolError("the source of the task is not in the index, so copies of it cannot be hidden") from None
        return source

    async def _read(self, read: Callable[[PageRequest], T], request: PageRequest) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._page_thread, read, request)


def _list_tasks(context: Context) -> Iterator[str | None]:
    """The ways in which a call names its task."""
    meta: Mapping[str, Any] = context.request_context.meta or {}
    named = meta.get(META_KEY)
    yield named if isinstance(named, str) else None
    request = context.request_context.request
    if request is not None:
        yield from list_tasks(request.scope)


def _hide(withheld: Exclusion | None) -> dict[str, Any]:
    if withheld is None:
        return {}
    return {"hide": withheld.hide, "passage_id": withheld.passage_id, "page_id": withheld.page_id}


def _describe(match: Match) -> FoundPlace:
    return FoundPlace(cursor=match.cursor, section=match.section, snippet=match.snippet)


def _answer(result: BaseModel) -> CallToolResult:
    """Structured, and as compact text: the protocol's own would be indented, which costs a model tokens."""
    value = result.model_dump(mode="json")
    return CallToolResult(content=[TextContent(text=orjson.dumps(value).decode())], structured_content=value)


class ToolServer:
    """The server of the protocol behind HTTP, for both of its generations; without sessions, so that any worker may
    answer."""

    def __init__(self, server: MCPServer[Any], host: str) -> None:
        """`host`: the address that is listened at; on the loopback, foreign Host and Origin headers are refused."""
        self._server = server
        self.answer = server.streamable_http_app(json_response=True, stateless_http=True, host=host)
        """ASGI application of the path /mcp."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer inside the block."""
        async with self._server.session_manager.run():
            yield


def open_tools(engine: SearchEngine, reader: PageReader, sources: TaskSources, settings: ServerSettings) -> ToolServer:
    """The tools over an index, behind HTTP."""
    return ToolServer(IndexTools(engine, reader, sources, settings.k).make_server(), settings.host)
