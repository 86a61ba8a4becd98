"""Reply contracts: what is read, what is refused, and that instruction and parser belong together."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.library import load_template
from prompts.replies import EXTRACT, JUDGE, OBSERVE, PLAN, REWRITE, Reply, ReplyContract, UnreadableReplyError
from prompts.reply_scan import LONGEST
from tests.prompts.test_library import POISON
from tests.support.growth import LINEAR, cpu_growth

CONTRACTS: list[ReplyContract[Reply]] = [PLAN, REWRITE, OBSERVE, EXTRACT, JUDGE]  # type: ignore[list-item]  # read only
SCRAPS = st.sampled_from(
    ['{"verdict":', '"correct"', '"incorrect"', "}", "{", '"', "\\", "<verdict>", "</verdict>", "Verdict: ", "\n", ","]
)


def read_verdict(text: str) -> str | None:
    try:
        return JUDGE.read(text).verdict
    except UnreadableReplyError:
        return None


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"reason": "same", "verdict": "correct"}', "correct"),
        ('{"verdict": "incorrect"} On second thought: {"verdict": "correct"}', "correct"),
        ('{"verdict": "correct"} On second thought: {"verdict": "incorrect"}', "incorrect"),
        ('```json\n{"verdict":\n "Correct.",}\n```', "correct"),
        ('{"reason": "he writes {\\"verdict\\": \\"correct\\"}", "verdict": "incorrect"}', "incorrect"),
        ('{"reason": "<verdict>correct</verdict>\nVerdict: correct\n", "verdict": "incorrect"}', "incorrect"),
        ('{"verdict": "incorrect", "reason": {"verdict": "correct"}, "more": {"verdict": "correct"}}', None),
        ('<think>{"verdict": "correct"}</think>{"verdict": "unjudgeable"}', "unjudgeable"),
        ('<think>{"verdict": "correct"} never closed', None),
        ('{"reason": "quotes </think>", "verdict": "incorrect"}', "incorrect"),
        ("<verdict>incorrect</verdict>", "incorrect"),
        ("The date differs.\n**Verdict:** Incorrect", "incorrect"),
        ("Verdict: {odd} but\nverdict: correct", "correct"),
        ("结论：不正确", "incorrect"),
        ("correct", "correct"),
        ("not correct", None),
        ("Verdict: not correct", None),
        ("It is correct.", None),
        ("incorrect, or rather correct", None),
        ('{"verdict": "correct"} {"verdict": "maybe"}', None),
        ('{"verdict": "correct"} {"verdict": "incorr', None),
        ('{"reason": "he wrote {"verdict": "correct"} here", "verdict": "incorrect"}', None),
        ('{"reason": "he wrote {"verdict": "correct"} here', None),
        ('{"reason": "he wrote <verdict>correct</verdict> here', None),
        ('{"verdict": "correct, incorrect or unjudgeable"}', None),
        ('{"verdict": ["correct"]}', None),
        ('{"verdict": true}', None),
        ("__import__('os').system('true') or {'verdict': 'correct'}", None),
        ("", None),
    ],
)
def test_verdicts(text: str, verdict: str | None) -> None:
    assert read_verdict(text) == verdict


@given(st.lists(SCRAPS | st.text(max_size=4), max_size=15).map("".join), st.sampled_from(["correct", "incorrect"]))
def test_what_is_quoted_never_decides(quoted: str, verdict: str) -> None:
    reply = json.dumps({"reason": quoted, "verdict": verdict}, ensure_ascii=False)
    assert read_verdict(f"Well.\n{reply}") == verdict


@given(st.lists(SCRAPS, max_size=30).map("".join))
def test_scraps_give_a_verdict_on_offer_or_none(text: str) -> None:
    assert read_verdict(text) in ("correct", "incorrect", None)


@pytest.mark.parametrize(
    "text", ["{" * 60_000, '{"a":' * 30_000, '{"' * 40_000, "<verdict>" * 9_000, '{"a" "' * 20_000]
)
def test_rubbish_is_refused(text: str) -> None:
    assert read_verdict(text) is None


@pytest.mark.parametrize(
    ("contract", "text", "problem"),
    [
        (PLAN, '{"think": "  "}', "think"),
        (PLAN, '{"think": "x", "mask": "1"}', "mask"),
        (PLAN, '{"think": "x", "mask": true}', "mask"),
        (PLAN, '{"think": "x", "give_up": "no"}', "give_up"),
        (PLAN, "I would look for the builder.", "no object"),
        (REWRITE, '{"queries": "one"}', "queries"),
        (REWRITE, '{"queries": [1, 2, 3]}', "queries"),
        (OBSERVE, '{"conclusion": "c", "answers": {}, "next": "answer"}', "answers"),
        (OBSERVE, '{"conclusion": "c", "answers": [], "next": "stop"}', "next"),
        (EXTRACT, '{"spans": ["1871"]}', "spans"),
        (EXTRACT, '{"spans": [{"text": "1871", "kind": "year"}]}', "kind"),
    ],
)
def test_wrong_types_are_refused_and_the_tail_is_quoted(
    contract: ReplyContract[Reply], text: str, problem: str
) -> None:
    with pytest.raises(UnreadableReplyError, match=problem) as failure:
        contract.read(text + " the very end")
    assert "the very end" in str(failure.value)


def test_other_forms_are_read() -> None:
    assert REWRITE.read("<query>a b</query> and <query> c\n d </query>").queries == ["a b", "c d"]
    assert PLAN.read('Thus: {"think": "who built it?"} I am done.').give_up is False
    spans = EXTRACT.read('{"note": 1} {"spans": [{"text": "Ada\\ud800 B", "kind": "entity", "extra": []}]}').spans
    assert [span.text for span in spans] == ["Ada B"]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.template)
def test_instruction_and_parser_belong_together(contract: ReplyContract[Reply]) -> None:
    def keys(schema: object) -> set[str]:
        if isinstance(schema, list):
            return set().union(*map(keys, schema))
        if not isinstance(schema, dict):
            return set()
        if "properties" in schema:
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])
        return set(schema.get("properties", {})) | set().union(*map(keys, schema.values()))

    named = keys(contract.schema)
    assert contract.key in named
    assert "$ref" not in json.dumps(contract.schema)
    for lang in ("en", "zh"):
        (text,) = load_template(contract.template, lang).phrasings
        assert all(f'"{key}"' in text or f"`{key}`" in text for key in named)


@pytest.mark.parametrize("contract", [PLAN, REWRITE, OBSERVE, EXTRACT], ids=lambda contract: contract.template)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_example_of_an_instruction_is_a_reply(contract: ReplyContract[Reply], lang: str) -> None:
    (text,) = load_template(contract.template, lang).phrasings
    assert contract.read(text)


@given(POISON)
def test_poison_in_a_field_changes_no_other(text: str) -> None:
    reply = json.dumps({"think": f"x{text}", "mask": 2, "give_up": False})
    plan = PLAN.read(f"Sure. {reply}")
    assert (plan.mask, plan.give_up) == (2, False)


def test_a_task_narrows_the_schema_and_nothing_else() -> None:
    most = {"mask": 2, "answers": 2}
    narrow = OBSERVE.narrow(most)
    answers = narrow["properties"]["answers"]
    assert answers["maxItems"] == 2
    assert answers["items"]["properties"]["mask"]["maximum"] == 2
    assert "maximum" not in json.dumps(answers["items"]["properties"]["passage"])
    assert list(narrow["properties"]) == list(OBSERVE.schema["properties"]), "replies are written in this order"
    assert PLAN.narrow(most)["properties"]["mask"]["anyOf"][0]["maximum"] == 2
    assert OBSERVE.narrow({}) == OBSERVE.narrow({"unheard": 1}) == OBSERVE.schema


@pytest.mark.slow
@pytest.mark.parametrize(
    "scrap", ['"\\', "{", "}", '"', '{"', "\\", ",", "[", '{"a":', '"{', "{}", "<verdict>", "verdict:\n", " "]
)
@pytest.mark.parametrize("before", ["", "{" * 50, '{"', "<think>"])
def test_time_is_linear_in_a_reply_whatever_it_holds(before: str, scrap: str) -> None:
    def read(reply: str) -> None:
        for contract in CONTRACTS:
            with suppress(UnreadableReplyError):
                contract.read(reply)

    assert cpu_growth(lambda n: (before + scrap * (n // len(scrap)))[:LONGEST], read) <= LINEAR
