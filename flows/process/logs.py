"""Logging setup: text for people, or one JSON object per line.

In JSON format everything written to standard error becomes an object: log lines of rampforge with level, logger, run,
stage, shard and record; progress, errors and the output of libraries as plain messages.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from types import MappingProxyType
from typing import TextIO, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

VARIABLE = "RAMPFORGE_LOG_FORMAT"
LAYERS = ("prompts", "pipeline", "flows")
PLACE: ContextVar[Mapping[str, str]] = ContextVar("log_place", default=MappingProxyType({}))
"""Context of the current work: run, stage, shard, record."""


class LogFormat(StrEnum):
    """Format of lines on standard error."""

    TEXT = "text"
    JSON = "json"


class JsonFormatter(logging.Formatter):
    """Formatter of a log record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return its fields: time (UTC), level, logger, message, context, and the exception if there is one."""
        fields = {
            "time": stamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **PLACE.get(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class JsonLines(io.TextIOBase):
    """Stream that turns each line written to it into a JSON object; lines that are objects are left unchanged."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._begun = ""

    def write(self, text: str) -> int:
        """Write text; complete lines are emitted."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            self.stream.write(f"{line if is_object(line) else self._wrap(line)}\n")
        self.stream.flush()
        return len(text)

    @staticmethod
    def _wrap(line: str) -> str:
        fields = {"time": stamp(time.time()), "level": "INFO", "message": line.strip(), **PLACE.get()}
        return json.dumps(fields, ensure_ascii=False)

    def fileno(self) -> int:
        """Return the descriptor of the underlying stream, which child processes use."""
        return self.stream.fileno()


def is_object(line: str) -> bool:
    """Return whether a line is a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def stamp(seconds: float) -> str:
    """Return a time since 1970 in UTC, to the millisecond."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


def listen_to_ourselves(level: int) -> None:
    """Print the log lines of rampforge's layers from this level on, in the format given by the environment."""
    handler = logging.StreamHandler()
    if os.environ.get(VARIABLE) == LogFormat.JSON:
        if not isinstance(sys.stderr, JsonLines):
            sys.stderr = JsonLines(sys.stderr)
        handler.setStream(sys.stderr.stream)
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for layer in LAYERS:
        logger = logging.getLogger(layer)
        logger.setLevel(level)
        logger.handlers = [handler]
        logger.propagate = False


@contextmanager
def at_place(**names: str) -> Iterator[None]:
    """Add the run, stage or shard to log lines inside the block."""
    token = PLACE.set({**PLACE.get(), **names})
    try:
        yield
    finally:
        PLACE.reset(token)


def note_records(work: Callable[[Item], Awaitable[Result]]) -> Callable[[Item], Awaitable[Result]]:
    """Wrap work so that its log lines name the record. Each item has a `key`, and its own task."""

    async def noted(item: Item) -> Result:
        with at_place(record=str(getattr(item, "key", ""))):
            return await work(item)

    return noted
