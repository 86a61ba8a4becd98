"""One client's connection: HTTP/1.1 as far as a retrieval server needs it, on asyncio's own protocol.

General servers make every request pay for what few need: between two requests of a client that waits for each answer,
that is most of a worker's time. Here a request costs one parse and one write.

Promises: requests are answered in the order they came, one at a time; what is no HTTP, too long or too slow is answered
with the reason, and the connection closed; a client that does not read its answers is not read from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableSet
from typing import cast

import httptools

from pipeline.search_server.http_messages import Request, RequestError, Response, Send, write_response

KEEP_ALIVE = 75.0
"""Seconds an idle connection is kept: longer than clients keep theirs, so that none is closed under a request."""
REQUEST_SECONDS = 30.0
"""How long a request may take to come in: a client that stops in the middle holds nothing for longer."""
MOST_HEADERS = 64 << 10
"""Bytes of the largest head of a request."""
MOST_AHEAD = 16
"""Requests that a client may send before it has the first answer; more are read later."""

Answer = Callable[[Request, Send], None]


class Conversation(asyncio.Protocol):
    """Talks with one client; entered among `others` while it lasts."""

    def __init__(self, answer: Answer, most_body: int, others: MutableSet[Conversation]) -> None:
        self._answer = answer
        self._most_body = most_body
        self._others = others
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._asked: Request | None = None
        """What is owed an answer now."""
        self._since = self._loop.time()
        self._coming = self._paused = self._ending = self._going = False
        self._transport: asyncio.Transport
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's word that the client is there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        self._others.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Asyncio's word that it has gone; what is searched for it is finished and dropped."""
        self._others.discard(self)
        self._waiting.clear()

    def pause_writing(self) -> None:
        """Asyncio's word that the client does not read."""
        self._paused = True

    def resume_writing(self) -> None:
        """Asyncio's word that it reads again."""
        self._paused = False
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Asyncio's word of what came in."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._ending = True  # the request itself is in line; what would follow is no HTTP
        except httptools.HttpParserCallbackError as error:
            self._refuse(error.__context__ if isinstance(error.__context__, RequestError) else _NOT_HTTP)
        except httptools.HttpParserError:
            self._refuse(_NOT_HTTP)
        self._go_on()

    def look(self, now: float) -> None:
        """End the conversation where the client has been silent for too long."""
        if self._coming and now - self._since > REQUEST_SECONDS:
            self._refuse(RequestError(408, f"the request did not come in within {REQUEST_SECONDS:g} s"))
        elif now - self._since > KEEP_ALIVE and self._asked is None and not self._waiting:
            self._transport.close()

    def finish(self) -> None:
        """End the conversation as soon as the requests that have come in are answered."""
        self._ending = True
        if self._asked is None and not self._waiting:
            self._transport.close()

    def on_message_begin(self) -> None:
        """The parser's word: a request."""
        self._begin()
        self._coming, self._since = True, self._loop.time()

    def on_url(self, piece: bytes) -> None:
        """The parser's word: what is asked for."""
        self._url += piece
        self._count_head(len(piece))

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser's word: a header."""
        self._headers[name.lower()] = value
        self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """The parser's word: the body follows, if there is one."""
        if int(self._headers.get(b"content-length", b"0")) > self._most_body:
            raise self._too_long()
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, piece: bytes) -> None:
        """The parser's word: some of the body."""
        self._body += piece
        if len(self._body) > self._most_body:
            raise self._too_long()

    def on_message_complete(self) -> None:
        """The parser's word: the request is whole."""
        self._coming = False
        try:
            path = httptools.parse_url(self._url).path or b"/"
        except httptools.HttpParserInvalidURLError:
            raise _NOT_HTTP from None
        method, keep = self._parser.get_method().decode(), self._parser.should_keep_alive()
        self._waiting.append(Request(method, path.decode("latin-1"), self._headers, bytes(self._body), keep))
        if len(self._waiting) == MOST_AHEAD:
            self._transport.pause_reading()

    def _begin(self) -> None:
        self._url, self._body, self._head_size = b"", bytearray(), 0
        self._headers: dict[bytes, bytes] = {}

    def _count_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MOST_HEADERS:
            raise RequestError(431, f"the head of the request is longer than {MOST_HEADERS:,} bytes")

    def _too_long(self) -> RequestError:
        return RequestError(413, f"the request is longer than {self._most_body:,} bytes")

    def _refuse(self, error: RequestError) -> None:
        """Answer with the reason and close; before that, nothing is owed any more."""
        self._coming, self._ending = False, True
        self._waiting.clear()
        if not self._transport.is_closing():
            self._transport.write(write_response(error.response, keep=False))
            self._transport.close()

    def _go_on(self) -> None:
        """Have the next requests answered. Only the outermost call does: a thousand answers are no thousand frames."""
        if self._going:
            return
        self._going = True
        while self._asked is None and self._waiting and not self._paused:
            self._asked = self._waiting.popleft()
            self._answer(self._asked, self._reply)
        self._going = False

    def _reply(self, response: Response) -> None:
        request, self._asked, self._since = self._asked, None, self._loop.time()
        if request is None or self._transport.is_closing():
            return
        keep = request.keep and not (self._ending and not self._waiting)
        self._transport.write(write_response(response, request.method == "HEAD", keep))
        if not keep:
            self._transport.close()
        elif len(self._waiting) == MOST_AHEAD - 1:
            self._transport.resume_reading()
        self._go_on()


_NOT_HTTP = RequestError(400, "this is no HTTP request")
