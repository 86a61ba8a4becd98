"""Dialogues from messages: each result goes to the call that it answers."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.importing.errors import RowError
from schemas.imports import ImportFormat
from tests.support.import_samples import CHAT, WHO, make_records


def test_results_go_to_the_calls_that_they_name() -> None:
    calls = [{"id": name, "function": {"name": "search", "arguments": {"query": name}}} for name in "abb"]
    results = [{"role": "tool", "tool_call_id": name, "content": f"of {name}"} for name in "bab"]
    messages = [{"role": "user", "content": WHO}, {"role": "assistant", "content": "", "tool_calls": calls}, *results]
    _, trajectory = make_records({**CHAT, "messages": messages}, ImportFormat.OPENRESEARCHER)
    assert trajectory is not None
    (turn,) = trajectory.turns
    texts = {passage.passage_id: passage.text for passage in turn.shown}
    assert [texts[call.hits[0].passage_id] for call in turn.calls] == ["of a", "of b", "of b"]


@pytest.mark.parametrize(
    ("calls", "results", "shown"),
    [
        ("ab", "aa", None),
        ("ab", "zb", None),
        ("ab", "bz", None),
        ("ab", "a-", "01"),
        ("ab", "b-", "10"),
        ("ab", "--", "01"),
        ("--", "zy", "01"),
        ("a-", "z", None),
        ("a-", "aa", None),
        ("a-", "az", "01"),
        ("a", "aa", None),
        ("a", "a-", None),
    ],
)
def test_a_result_goes_to_an_open_call_or_is_stray(calls: str, results: str, shown: str | None) -> None:
    ids = {"-": None}
    turn = [{"id": ids.get(n, n), "function": {"name": "search", "arguments": {"query": "q"}}} for n in calls]
    told = [
        {"role": "tool", "tool_call_id": ids.get(n, n), "content": f"{n}{place}"} for place, n in enumerate(results)
    ]
    messages = [{"role": "user", "content": WHO}, {"role": "assistant", "content": "", "tool_calls": turn}, *told]
    row = {**CHAT, "messages": messages}
    if shown is None:
        with pytest.raises(RowError) as raised:
            make_records(row, ImportFormat.OPENRESEARCHER)
        assert raised.value.reason == "stray_result"
        return
    _, trajectory = make_records(row, ImportFormat.OPENRESEARCHER)
    assert trajectory is not None
    (made,) = trajectory.turns
    texts = {passage.passage_id: passage.text for passage in made.shown}
    assert [texts[call.hits[0].passage_id] for call in made.calls] == [f"{results[int(n)]}{n}" for n in shown]


@pytest.mark.parametrize(
    "ids", [(1, 2), (2, 1), (0, -1), (1.5, 2), ([1], [2]), ({"n": 1}, {"n": 2}), (True, False), (1, "2")]
)
def test_an_id_that_is_no_text_still_names_its_call(ids: tuple[Any, Any]) -> None:
    turn = [{"id": one, "function": {"name": "search", "arguments": {"query": "q"}}} for one in ids]
    told = [{"role": "tool", "tool_call_id": one, "content": f"of {n}"} for n, one in reversed(list(enumerate(ids)))]
    messages = [{"role": "user", "content": WHO}, {"role": "assistant", "content": "", "tool_calls": turn}, *told]
    _, trajectory = make_records({**CHAT, "messages": messages}, ImportFormat.OPENRESEARCHER)
    assert trajectory is not None
    (made,) = trajectory.turns
    texts = {passage.passage_id: passage.text for passage in made.shown}
    assert [texts[call.hits[0].passage_id] for call in made.calls] == ["of 0", "of 1"]


def test_an_id_that_is_no_text_and_names_no_call_is_stray() -> None:
    turn = [{"id": "a", "function": {"name": "search", "arguments": {"query": "q"}}}]
    told = {"role": "tool", "tool_call_id": 7, "content": "of another"}
    messages = [{"role": "user", "content": WHO}, {"role": "assistant", "content": "", "tool_calls": turn}, told]
    with pytest.raises(RowError) as raised:
        make_records({**CHAT, "messages": messages}, ImportFormat.OPENRESEARCHER)
    assert raised.value.reason == "stray_result"
