"""Where log lines go, and how they are written: for people, or as one JSON object a line for machines.

As JSON, whatever is written to standard error becomes an object: our log lines with level, logger, run, stage, shard
and record; progress, errors and what libraries say as plain messages.
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
"""What the work at hand is part of: run, stage, shard, record."""


class LogFormat(StrEnum):
    """How lines are written to standard error."""

    TEXT = "text"
    JSON = "json"


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Its fields: time (UTC), level, logger, message, where it happened, the exception if there is one."""
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
    """A stream that turns each line written to it into a JSON object; one that is an object already stays as it is."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._begun = ""

    def write(self, text: str) -> int:
        """Take in some text; whole lines go out."""
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
        """That of the stream below: child processes write there."""
        return self.stream.fileno()


def is_object(line: str) -> bool:
    """Whether a line is a JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def stamp(seconds: float) -> str:
    """A time since 1970 in UTC, to the millisecond."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


def listen_to_ourselves(level: int) -> None:
    """Print the log lines of our own layers from this level on, in the format that the environment names."""
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
    """Log lines inside the block say which run, stage or shard they are about."""
    token = PLACE.set({**PLACE.get(), **names})
    try:
        yield
    finally:
        PLACE.reset(token)


def note_records(work: Callable[[Item], Awaitable[Result]]) -> Callable[[Item], Awaitable[Result]]:
    """The same work; its log lines name the record. Each item has a `key`, and a task of its own."""

    async def noted(item: Item) -> Result:
        with at_place(record=str(getattr(item, "key", ""))):
            return await work(item)

    return noted
