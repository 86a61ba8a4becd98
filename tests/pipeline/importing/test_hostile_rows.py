"""Rows of any content: read in linear time, and taken or rejected by name, never by chance."""

from __future__ import annotations

import copy
import errno
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.importing.job import import_rows
from pipeline.errors import StorageError
from pipeline.importing.errors import RowError
from pipeline.importing.fields import read_golds
from pipeline.importing.records import split_answer
from pipeline.storage.shards import read_rows
from schemas.funnel import Reject
from schemas.imports import ImportFormat
from schemas.trajectories import SearchStatus
from tests.support.growth import LINEAR, cpu_growth
from tests.support.import_samples import CHAT, MINIMAL, OPENSEEKER, ROWS, SEARCH_R1, WHO, make_records

FACTS = {
    **{"kind": "ramp", "question": "T > S\nIn [mask 1].", "golds": [["1868"]], "mask_kinds": ["date"]},
    **{"difficulties": [0.5], "title": "T", "page_id": 1, "task_id": "t", "passage_id": "p", "document_id": "d"},
    **{"lang": "en", "difficulty": 0.5, "id": "i", "policy": "x", "hide": "page", "shown": [["a"]]},
}
OWN = {**MINIMAL, "extra": {"rampforge": FACTS}}
ALL = [(format_, row) for format_, rows in ROWS.items() for row in rows] + [(ImportFormat.ATIF, OWN)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def list_places(value: object, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from list_places(inner, (*place, key))


PLACES = [(format_, row, place) for format_, row in ALL for place in list_places(row)]


@given(st.sampled_from(PLACES), JSON)
@settings(max_examples=400, deadline=None)
def test_a_value_of_any_type_anywhere_is_read_or_rejected_by_name(
    spot: tuple[ImportFormat, dict[str, Any], tuple[Any, ...]], value: object
) -> None:
    format_, row, (*way, last) = spot[0], copy.deepcopy(spot[1]), spot[2]
    inner: Any = row
    for key in way:
        inner = inner[key]
    inner[last] = value
    with suppress(RowError):
        task, trajectory = make_records(row, format_)
        assert all(span.text for span in task.spans)
        assert trajectory is None or orjson.loads(trajectory.model_dump_json())


@pytest.mark.parametrize("wrong", [[None], [True], [["a"]], {"target": "a"}, float("nan"), b"a", [1e300], ["a", None]])
def test_a_right_answer_that_is_no_text_is_rejected(wrong: object) -> None:
    with pytest.raises(RowError) as raised:
        read_golds(wrong)
    assert raised.value.reason == "bad_gold"


def test_numbers_are_their_figures() -> None:
    assert read_golds([1868, 1868.0, "1868", 3.5, -2, " "]) == ("1868", "3.5", "-2")
    assert read_golds(None, [], [" "], 7) == ("7",)
    assert read_golds(None) == ()


def test_rows_of_another_format_say_so(tmp_path: Path) -> None:
    rows = [SEARCH_R1, OPENSEEKER, MINIMAL, CHAT, {"text": "hello"}, {"question": "No gold?"}]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    done = import_rows([path], tmp_path / "run")
    assert (done.funnel.passed, done.funnel.rejected) == (1, {"other_format": 5})
    rejects = [row for file in done.run.files("rejects") for row in read_rows(file, Reject)]
    for reject, part in zip(rejects, ("openseeker", "atif", "openresearcher", "text", "golden_answers"), strict=True):
        assert part in reject.detail


@pytest.mark.parametrize(
    ("ending", "result", "status"),
    [
        ("<search>b</search>", None, SearchStatus.ERROR),
        ("<search>b</search><information>cut <search>c", "cut <search>c", SearchStatus.OK),
        ("<search>b</search><information></information>", "", SearchStatus.EMPTY),
    ],
)
def test_a_response_that_is_cut_off_has_its_last_search_and_no_answer(
    ending: str, result: str | None, status: SearchStatus
) -> None:
    text = f"<search>a</search> <information>quoted <search></information> so {ending}"
    _, trajectory = make_records({**SEARCH_R1, "response": text}, ImportFormat.SEARCH_R1)
    assert trajectory is not None
    calls = [call for turn in trajectory.turns for call in turn.calls]
    assert [(call.query, call.status) for call in calls] == [("a", SearchStatus.OK), ("b", status)]
    assert [passage.text for passage in trajectory.turns[1].shown] == ([result] if result else [])
    assert trajectory.answers[0].answer is None


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Explanation: x.\n**Exact Answer:** **-5 m**\nConfidence: 9", "-5 m"),
        ("exact answer: Paris\nSo the exact answer: no.", "Paris"),
        ("- Exact answer：\n\n  北京  \n", "北京"),
        ("It is \\boxed{1} or \\boxed{2}", "2"),
        ("<answer>\\boxed{A}</answer> <answer>", "A"),
        ("Exact answer: ", "Exact answer:"),
    ],
)
def test_answers_are_found_where_a_reply_marks_them(reply: str, answer: str) -> None:
    assert split_answer(reply)[0] == answer


def test_a_search_without_a_query_and_a_call_without_a_name_are_rejected() -> None:
    for call in ({"name": "search", "arguments": {"keywords": "x"}}, {"name": "", "arguments": {}}):
        messages = [{"role": "user", "content": WHO}, {"role": "assistant", "content": "", "tool_calls": [call]}]
        with pytest.raises(RowError) as raised:
            make_records({**CHAT, "messages": messages}, ImportFormat.OPENRESEARCHER)
        assert raised.value.reason == "bad_call"


UNITS = [
    *("<search>", "<search>q</search><information>", "<information></information>", "<answer>", "<tool_call>"),
    *("<tool_response>", "</think>", " ", " \n", "*", "\nexact answer: *", "\\boxed{", "\nAssistant: ", "[mask 1]"),
    '<tool_call>{"name": "search", "arguments": {"query": "q"}}</tool_call>',
    "<search>q</search><information>r</information>",
]


def make_hostile(format_: ImportFormat, text: str) -> dict[str, Any]:
    """Return a row of a format whose every long text is this one."""
    spoken = [
        {"role": "user", "content": WHO},
        {"role": "assistant", "content": f"{text}x"},
        {"role": "user", "content": f"<tool_response>{text}"},
        {"role": "assistant", "content": text},
    ]
    step = {"source": "agent", "message": text, "reasoning_content": text}
    rows: dict[ImportFormat, dict[str, Any]] = {
        ImportFormat.SEARCH_R1: {**SEARCH_R1, "response": f"x{text}x"},
        ImportFormat.OPENSEEKER: {**OPENSEEKER, "trajectory": spoken},
        ImportFormat.OPENRESEARCHER: {**CHAT, "messages": spoken[:2]},
        ImportFormat.ATIF: {**MINIMAL, "steps": [{"source": "user", "message": WHO}, step, step]},
    }
    return rows[format_]


@pytest.mark.slow
@pytest.mark.parametrize("format_", [ImportFormat.SEARCH_R1, ImportFormat.OPENSEEKER])
@pytest.mark.parametrize("unit", UNITS)
def test_a_row_is_read_in_linear_time(format_: ImportFormat, unit: str) -> None:
    def read(row: object) -> None:
        with suppress(RowError):
            make_records(row, format_)

    assert cpu_growth(lambda size: make_hostile(format_, unit * size), read, 200) <= LINEAR


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_many_calls_of_a_turn_are_read_in_linear_time(named: bool) -> None:
    def make(size: int) -> dict[str, Any]:
        calls = [{"id": str(n), "function": {"name": "search", "arguments": '{"query": "q"}'}} for n in range(size)]
        results = [{"role": "tool", "tool_call_id": str(n) if named else None, "content": "r"} for n in range(size)]
        turn = {"role": "assistant", "content": "", "tool_calls": calls}
        return {**CHAT, "messages": [{"role": "user", "content": WHO}, turn, *reversed(results)]}

    assert cpu_growth(make, lambda row: make_records(row, ImportFormat.OPENRESEARCHER), 200) <= LINEAR


def test_a_call_of_many_queries_does_not_list_each_document_for_each() -> None:
    shown = "\n".join(f'Doc {number}(Title: "t") {number}' for number in range(1, 1001))
    call = {"id": "1", "function": {"name": "search", "arguments": {"query": [f"q{n}" for n in range(1000)]}}}
    messages = [
        {"role": "user", "content": WHO},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": shown},
    ]
    with pytest.raises(RowError) as raised:
        make_records({**CHAT, "messages": messages}, ImportFormat.OPENRESEARCHER)
    assert raised.value.reason == "too_many_hits"


def test_an_import_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps(SEARCH_R1) + b"\n")
    full = OSError(errno.ENOSPC, "full")
    for fault, raised in ((KeyboardInterrupt(), KeyboardInterrupt), (full, StorageError)):
        with monkeypatch.context() as patch:
            patch.setattr("flows.importing.job.write_record", Mock(side_effect=fault))
            with pytest.raises(raised):
                import_rows([path], tmp_path / "run")
        assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]
    assert import_rows([path], tmp_path / "run").run.record().run == "run"
