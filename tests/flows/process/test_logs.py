"""Log lines for machines: every line an object, whoever wrote it, with the place and the record it is about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.process.logs import VARIABLE, JsonFormatter, JsonLines, at_place, listen_to_ourselves, note_records


@dataclass(frozen=True)
class Item:
    key: str


def read_objects(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.split("\n") if line]


@given(st.text(), st.lists(st.integers(0, 40), max_size=6))
def test_any_text_becomes_objects_and_none_is_lost(text: str, cuts: list[int]) -> None:
    below = io.StringIO()
    stream = JsonLines(below)
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    for start, end in zip(edges, [*edges[1:], len(text)], strict=True):
        stream.write(text[start:end])
    stream.write("\n")
    said = [line["message"] for line in read_objects(below.getvalue()) if "message" in line]
    plain = [line.strip() for line in text.split("\n") if line.strip()]
    if not any(line.startswith("{") for line in plain):
        assert said == plain


def test_a_line_names_level_logger_place_and_fault() -> None:
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("pipeline.test")
    logger.addHandler(handler)
    with at_place(run="r", stage="spans"), at_place(shard="000"):
        try:
            raise ValueError("no good")
        except ValueError:
            logger.exception("a %s broke", "shard")
    logger.warning("over")
    first, second = read_objects(stream.getvalue())
    assert first["message"] == "a shard broke"
    assert (first["level"], first["logger"]) == ("ERROR", "pipeline.test")
    assert (first["run"], first["stage"], first["shard"]) == ("r", "spans", "000")
    assert "ValueError: no good" in first["exception"]
    assert first["time"].endswith("Z")
    assert "run" not in second


def test_concurrent_records_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    below = io.StringIO()
    monkeypatch.setenv(VARIABLE, "json")
    monkeypatch.setattr(sys, "stderr", below)
    listen_to_ourselves(logging.INFO)
    log = logging.getLogger("flows.test")

    async def work(item: Item) -> None:
        await asyncio.sleep(0.01)
        log.info("at %s", item.key)

    async def all_of_them() -> None:
        await asyncio.gather(*(asyncio.ensure_future(note_records(work)(Item(f"t{number}"))) for number in range(5)))

    asyncio.run(all_of_them())
    print("plain", file=sys.stderr)  # noqa: T201 - what a library might do
    *lines, last = read_objects(below.getvalue())
    assert {(line["message"], line["record"]) for line in lines} == {(f"at t{n}", f"t{n}") for n in range(5)}
    assert last["message"] == "plain"
    monkeypatch.undo()
    listen_to_ourselves(logging.WARNING)
