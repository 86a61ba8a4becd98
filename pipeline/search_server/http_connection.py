"""uvicorn's HTTP/1.1 protocol over httptools, with additional limits.

Guarantees: an endless head or trailer is refused with 431, an incomplete request with 408; a client that does not read
its reply is disconnected; a refusal is sent after the replies to earlier requests, and can be read by a client that
still sends; an upgrade to another protocol is ignored, and the request answered.

Deviations of uvicorn from RFC 9112 remain: a request without Host, or with two, is answered; a field in the trailer of
a chunked body that arrives in one read with its head counts as a header; an unknown method is 400, not 501; a head that
arrives in one read may be longer than the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
import orjson
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEAD = 64 << 10
"""Consecutive bytes that neither end a head nor belong to a body, counted in whole reads."""
REQUEST_SECONDS = 30
"""Time for a request to arrive, without the time in which reading is paused."""
REPLY_SECONDS = 30
"""How far a client may fall behind one that reads `SLOWEST_READER` bytes of its reply per second."""
SLOWEST_READER = 16 << 10
LINGER_SECONDS = 3
"""How long a refused client is still read from: closing a connection with unread bytes would reset it before the client
reads the reason."""


class HttpConnection(HttpToolsProtocol):
    """The connection of one client. `on_second` is to be called every second."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_lost` is called at the end of the connection."""
        super().__init__(config, server_state, app_state, _loop)
        self._on_lost = on_lost
        self._head_bytes = 0
        self._receiving = False
        """Whether a request is incomplete."""
        self._seconds_receiving = 0
        self._seconds_unread = 0.0
        self._unread = 0
        """Bytes that the client had not read a second ago."""
        self._refusal: bytes | None = None
        self._seconds_refused: int | None = None
        """Since the refusal was sent."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Start the timeout of an idle connection."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timeout."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes."""
        if self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, "this is not an HTTP request")
        if self._head_bytes > MAX_HEAD:
            self._refuse(431, f"the head of the request is longer than {MAX_HEAD:,} bytes")

    def on_message_begin(self) -> None:
        """Start the time of a request."""
        super().on_message_begin()
        self._receiving, self._seconds_receiving = True, 0

    def on_headers_complete(self) -> None:
        """Reset the count of the head."""
        self._head_bytes = 0
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Reset the count of a trailer."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the time of a request."""
        self._head_bytes, self._receiving = 0, False
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """End the connection after the last reply before a refusal."""
        super().on_response_complete()
        if self._refusal is not None and not self._has_pending():
            self._end()

    def on_second(self) -> None:
        """Enforce the time limits."""
        if self._seconds_refused is not None:
            self._seconds_refused += 1
            if self._seconds_refused > LINGER_SECONDS:
                self.transport.abort()
        elif self._receiving and not self.flow.read_paused:
            self._seconds_receiving += 1
            if self._seconds_receiving > REQUEST_SECONDS:
                self._refuse(408, f"the request did not come in within {REQUEST_SECONDS} s")
        self._check_reader(self.transport.get_write_buffer_size())

    def _check_reader(self, unread: int) -> None:
        taken, self._unread = self._unread - unread, unread
        behind = self._seconds_unread + 1 - max(0, taken) / SLOWEST_READER
        self._seconds_unread = max(0.0, behind) if unread else 0.0
        if self._seconds_unread > REPLY_SECONDS:
            self.transport.abort()

    def _has_pending(self) -> bool:
        """Whether a complete request has no reply yet."""
        cycle = self.cycle
        return bool(self.pipeline) or (cycle is not None and not cycle.response_complete and not cycle.more_body)

    def _decline(self, rest: bytes) -> None:
        """Parse a request again without its upgrade, for which httptools would not parse the body."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(405, "this server is not a proxy")
            return
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] not in (b"connection", b"upgrade")]
        version = self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"%b %b HTTP/%b\r\n%b\r\n%b" % (method, self.url, version, b"".join(fields), rest))

    def _refuse(self, status: int, what: str) -> None:
        if self._refusal is None and not self.transport.is_closing():
            body = orjson.dumps({"error": what})
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self._refusal = STATUS_LINE[status] + head + body
            if not self._has_pending():
                self._end()

    def _end(self) -> None:
        """Send the refusal, unless its request has a reply already, and end the connection."""
        cycle, self._seconds_refused = self.cycle, 0
        if cycle is None or (cycle.response_complete and not cycle.more_body) or not cycle.response_started:
            self.transport.write(self._refusal or b"")
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.flow.resume_reading()
        self.transport.write_eof()
