"""What is found is kept, shared and read back; what is to be hidden is withheld; engines are waited for."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SearchError
from pipeline.search.batching import BatchedSearch
from pipeline.search.cache import CachedSearch, SearchCache
from pipeline.search.engine import Answer, FoundPassage, SearchRequest, fail_call, make_call
from pipeline.search.source_hiding import SourceHidingSearch, is_source
from pipeline.search.sync_adapter import SyncSearch
from pipeline.storage.jsonl import SharedJsonlLog
from pipeline.text.near_copies import cut_triples
from schemas.trajectories import HideMode, Hit, SearchStatus
from tests.support.passage_samples import draw_passages
from tests.support.search_samples import open_index, write_index


class Shelf:
    """A PassageSource over a list of passages: everything is found for everything, in order."""

    fingerprint = "shelf"
    hides = False

    def __init__(self, passages: Sequence[FoundPassage], failing: bool = False) -> None:
        self.passages = passages
        self.failing = failing
        self.asked: list[str] = []
        self.closed = False

    def identify(self, request: SearchRequest) -> list[str | int | None]:
        return [request.query]

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        self.asked += [request.query for request in requests]
        await asyncio.sleep(0.01)
        if self.failing:
            return [Answer(fail_call(request.query, "out of order")) for request in requests]
        found = tuple(self.passages[:k])
        hits = tuple(Hit(passage_id=p.passage_id, score=1 / (i + 1)) for i, p in enumerate(found))
        return [Answer(make_call(request.query, hits), found) for request in requests]

    async def close(self) -> None:
        self.closed = True


def shelve(*texts: str) -> list[FoundPassage]:
    return [FoundPassage(f"f{i}", f"Title {i}", text, ((0, 1),)) for i, text in enumerate(texts)]


def today() -> str:
    return "2026-11-21"


def search(engine: CachedSearch | SourceHidingSearch, *requests: SearchRequest, k: int = 3) -> list[list[str]]:
    async def run() -> list[list[str]]:
        return [[hit.passage_id for hit in call.hits] for call in await engine.search(requests, k)]

    return asyncio.run(run())


def test_answers_are_kept_for_good_with_the_date(tmp_path: Path) -> None:
    path, shelf = tmp_path / "searches" / "found.jsonl", Shelf(shelve("one", "two"))
    queries = [SearchRequest("a"), SearchRequest("b"), SearchRequest("a")]
    assert search(CachedSearch(shelf, SearchCache(path, today)), *queries) == [["f0", "f1"]] * 3
    again = Shelf([])
    memory = CachedSearch(again, SearchCache(path, today))
    assert search(memory, *queries) == [["f0", "f1"]] * 3
    assert (shelf.asked, again.asked, memory.saved) == (["a", "b"], [], 3)
    assert asyncio.run(memory.read(["f1", "f0"])) == [shelf.passages[1], shelf.passages[0]]
    assert [json.loads(line).get("date") for line in path.read_text().splitlines()] == [None, None, today(), today()]
    assert search(memory, SearchRequest("a"), k=2) == [[]]  # another k is another question
    with pytest.raises(SearchError, match="never found"):
        asyncio.run(memory.read(["nothing"]))


def test_failures_are_never_kept(tmp_path: Path) -> None:
    cache = SearchCache(tmp_path / "found.jsonl", today)
    shelf = Shelf(shelve("one"), failing=True)
    memory = CachedSearch(shelf, cache)
    assert search(memory, SearchRequest("a")) == [[]]
    shelf.failing = False
    assert search(memory, SearchRequest("a")) == [["f0"]]


@pytest.mark.parametrize("kept", [True, False])
def test_equal_requests_at_the_same_time_are_one(tmp_path: Path, kept: bool) -> None:
    shelf = Shelf(shelve("one", "two"))
    memory = CachedSearch(shelf, SearchCache(tmp_path / "found.jsonl", today) if kept else None)

    async def run() -> None:
        calls = await asyncio.gather(
            *(memory.search([SearchRequest("a"), SearchRequest(f"b{i % 2}")], 2) for i in range(10))
        )
        assert all(call.status is SearchStatus.OK for some in calls for call in some)
        assert (await memory.read(["f0"]))[0].text == "one"
        slow = asyncio.create_task(memory.search([SearchRequest("c")], 2))
        await asyncio.sleep(0)
        shared = asyncio.create_task(memory.search([SearchRequest("c")], 2))
        await asyncio.sleep(0)
        slow.cancel()
        assert (await shared)[0].status is SearchStatus.ERROR
        assert (await memory.search([SearchRequest("c")], 2))[0].status is SearchStatus.OK
        await memory.close()

    asyncio.run(run())
    assert sorted(set(shelf.asked[:3])) == ["a", "b0", "b1"]
    assert shelf.closed


def write_lines(path: Path, writer: int) -> None:
    log = SharedJsonlLog(path)
    for number in range(300):
        log.append({f"{writer}-{number}": {"text": "x" * (number % 50)}, f"common-{number}": {"by": writer}})


def test_several_processes_write_one_log(tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_lines, args=(path, writer)) for writer in range(3)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    log, keys = SharedJsonlLog(path), [json.loads(line)["key"] for line in path.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 1200
    assert all(log.find(f"{writer}-{number}") for writer in range(3) for number in range(300))


def test_a_torn_line_costs_that_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    reader, writer = SharedJsonlLog(path), SharedJsonlLog(path)
    writer.append({"a": {"n": 1}})
    with path.open("ab") as dying:
        dying.write(b'{"key":"b","n":')
    assert (reader.find("a"), reader.find("b")) == ({"key": "a", "n": 1}, None)
    writer.append({"c": {"n": 3}})
    with path.open("ab") as broken:
        broken.write(b"no json\n")
    writer.append({"a": {"n": 9}, "d": {"n": 4}})
    assert [reader.find(key) for key in "abcd"] == [SharedJsonlLog(path).find(key) for key in "abcd"]
    assert (reader.find("a"), reader.find("d")) == ({"key": "a", "n": 1}, {"key": "d", "n": 4})
    os.truncate(path, 0)


SOURCE = "The old stone bridge over the river Mara was built by Ion Vasile in 1871 for the railway."
COPY = "It is said: the old stone bridge over the river Mara was built by Ion Vasile in 1871, and rebuilt later."
OTHER = "The museum of the city shows the garden of the queen and the tower of the king in the north of it."


def make_request(hide: HideMode, **more: object) -> SearchRequest:
    fields = {"passage_id": "source", "page_id": 7, "title": "Old Bridge", "text": SOURCE, **more}
    return SearchRequest("who built the bridge", hide, **fields)  # type: ignore[arg-type]  # test values


def make_shelf(*passages: tuple[str, str, str]) -> CachedSearch:
    return CachedSearch(Shelf([FoundPassage(*passage) for passage in passages]))


MIXED = (
    ("source", "Old Bridge", SOURCE), ("copy", "Mara", COPY), ("page", "Old Bridge - Wikipedia", "Another part."),
    ("snippet", "Bridges", "old stone bridge over the river Mara was built"), ("other", "Lumea", OTHER),
)  # fmt: skip


@pytest.mark.parametrize(
    ("hide", "hides", "copies", "left"),
    [
        (HideMode.NONE, False, True, ["source", "copy", "page", "snippet", "other"]),
        (HideMode.PASSAGE, False, False, ["page", "other"]),
        (HideMode.PAGE, False, False, ["other"]),
        (HideMode.PASSAGE, True, False, ["source", "copy", "page", "snippet", "other"]),
        (HideMode.PASSAGE, True, True, ["page", "snippet", "other"]),
    ],
)
def test_what_is_hidden_is_withheld(hide: HideMode, hides: bool, copies: bool, left: list[str]) -> None:
    engine = SourceHidingSearch(make_shelf(*MIXED), hides, copies)
    assert search(engine, make_request(hide), k=5) == [left]
    assert search(engine, make_request(hide), make_request(HideMode.NONE), k=1)[0] == left[:1]


def test_as_many_come_as_there_are() -> None:
    shelf = [(f"c{i}", "Old Bridge", SOURCE) for i in range(150)] + [(f"o{i}", "Lumea", OTHER) for i in range(5)]
    engine = SourceHidingSearch(make_shelf(*shelf), hides=False, copies=False)
    assert search(engine, make_request(HideMode.PAGE), k=3) == [["o0", "o1", "o2"]]
    assert search(engine, make_request(HideMode.PAGE), k=9) == [["o0", "o1", "o2", "o3", "o4"]]
    (call,) = asyncio.run(
        SourceHidingSearch(make_shelf(*shelf[:3]), False, False).search([make_request(HideMode.PAGE)], 3)
    )
    assert (call.status, call.hits) == (SearchStatus.EMPTY, ())


@given(st.text(alphabet="ab 。北京大学长", max_size=60), st.text(alphabet="ab 。北京大学长", max_size=60))
def test_a_text_is_hidden_by_itself_and_by_what_holds_it(one: str, other: str) -> None:
    if cut_triples(one):
        assert is_source(FoundPassage("x", "", f"{one} {other}"), make_request(HideMode.PASSAGE, text=one))


def test_local_engines_are_gathered_and_waited_for(tmp_path: Path) -> None:
    bare = open_index(write_index(tmp_path, draw_passages(40)))
    dice, words = random.Random(3), ["river", "stone", "queen", "zzzz"]
    wanted = [([SearchRequest(" ".join(dice.choices(words, k=2)))], dice.randint(1, 3)) for _ in range(60)]

    async def run() -> None:
        engine = BatchedSearch(bare)
        found = await asyncio.gather(*(engine.search(requests, k) for requests, k in wanted))
        assert found == [bare.search(requests, k) for requests, k in wanted]
        await engine.close()

    asyncio.run(run())
    blocking = SyncSearch(BatchedSearch(bare))
    assert [blocking.search(requests, k) for requests, k in wanted] == [bare.search(r, k) for r, k in wanted]
    assert blocking.read(["p0003"]) == bare.read(["p0003"])
    assert blocking.fingerprint == bare.fingerprint
    with pytest.raises(SearchError):
        blocking.read(["p9999"])
    blocking.close()
    blocking.close()
