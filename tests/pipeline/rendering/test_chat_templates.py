"""Every format comes out of a chat template whole and exact, or is refused with the formats that can."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.configuration.cache import cache_folder
from pipeline.assets.store import resolve_model
from pipeline.rendering.chat_template import AlteredError, ChatTemplateError
from pipeline.rendering.chat_text import ChatText
from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.template_check import FormatOutcome, check_template
from pipeline.rendering.token_masks import ALTERED, MaskError, TokenMasker
from schemas.renderings import RenderingName, ShownDocument, Step, Transcript
from tests.support import chat_templates
from tests.support.template_matrix import QUESTION, TRANSCRIPT, judge_cell

pytestmark = pytest.mark.assets

STREAMS = [RenderingName.SEARCH_R1, RenderingName.RESEARCH]
CALLS = [RenderingName.MASKSEARCH, RenderingName.OPENAI_TOOLS]
TAGS = [RenderingName.QWEN_TOOLS]
MATRIX: dict[str, tuple[str, dict[RenderingName, str]]] = {
    "plain": (chat_templates.PLAIN, {}),
    "thoughtful": (chat_templates.THOUGHTFUL, {}),
    "forgetful": (chat_templates.FORGETFUL, dict.fromkeys(TAGS, "refused")),
    "unthinking": (chat_templates.UNTHINKING, {}),
    "channels": (chat_templates.CHANNELS, dict.fromkeys(CALLS, "as served") | dict.fromkeys(TAGS, "refused")),
    "endless": (chat_templates.ENDLESS, {}),
    "toolless": (chat_templates.TOOLLESS, dict.fromkeys(CALLS, "refused")),
    "dropping": (chat_templates.DROPPING, dict.fromkeys(CALLS + TAGS, "refused")),
    "calls first": (chat_templates.CALLS_FIRST, dict.fromkeys(CALLS, "refused")),
    "closed": (chat_templates.CLOSED, dict.fromkeys(RenderingName, "refused")),
}
"""What becomes of each format where it is not `identical`."""


@cache
def load(template: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_model("smollm2-135m-instruct", cache_folder()))
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("name", MATRIX)
@pytest.mark.parametrize("rendering", RenderingName)
def test_a_format_is_exact_or_refused(name: str, rendering: RenderingName) -> None:
    template, others = MATRIX[name]
    assert judge_cell(load(template), rendering, known=False) == others.get(rendering, "identical")


@pytest.mark.parametrize("name", MATRIX)
def test_the_check_says_the_same(name: str) -> None:
    template, others = MATRIX[name]
    checks = {one.rendering: one for one in check_template(ChatText(load(template)))}
    assert {rendering: str(one.outcome) for rendering, one in checks.items()} == {
        rendering: others.get(rendering, "identical") for rendering in RenderingName
    }
    assert all(one.notes for one in checks.values() if one.outcome is FormatOutcome.REFUSED)


def test_switches_are_set_only_where_they_are_needed() -> None:
    def find_switches(template: str, rendering: RenderingName) -> dict[str, bool]:
        return dict(ChatText(load(template)).find_layout(rendering).form.switches)

    assert find_switches(chat_templates.THOUGHTFUL, RenderingName.OPENAI_TOOLS) == {}
    assert find_switches(chat_templates.THOUGHTFUL, RenderingName.QWEN_TOOLS) == {"keep_past_thinking": True}
    assert find_switches(chat_templates.UNTHINKING, RenderingName.SEARCH_R1) == {"enable_thinking": True}


def test_thoughts_go_where_a_template_has_a_place_for_them() -> None:
    fields = {
        template: ChatText(load(template)).find_layout(RenderingName.OPENAI_TOOLS).form.thought_field
        for template in (chat_templates.PLAIN, chat_templates.THOUGHTFUL, chat_templates.CHANNELS)
    }
    assert [*fields.values()] == [None, "reasoning_content", "thinking"]


def test_the_model_learns_to_end_its_turns() -> None:
    learned = {}
    for name in ("plain", "channels", "endless"):
        stretches = ChatText(load(MATRIX[name][0])).write(
            RENDERINGS[RenderingName.OPENAI_TOOLS].render(QUESTION, TRANSCRIPT)
        )
        own = "".join(stretch.text if stretch.spoken else "\0" for stretch in stretches).split("\0")
        learned[name] = [turn[-18:] for turn in own if turn]
    assert all(turn.endswith("<|im_end|>") for turn in learned["plain"])
    assert [turn[-8:] for turn in learned["channels"]] == ["<|call|>", "<|call|>", "|return|>"[-8:]]
    assert [turn.rpartition("<|")[2] for turn in learned["endless"]] == ["observation|>", "observation|>", "im_end|>"]


@pytest.mark.parametrize("rendering", RenderingName)
@settings(max_examples=25)
@given(data=st.data())
def test_no_text_is_lost_or_changed_unnoticed(rendering: RenderingName, data: st.DataObject) -> None:
    words = st.text(st.sampled_from('ab 1868北é"\\{}<>\n'), max_size=12)
    line = words.map(lambda text: " ".join(text.split()) or "x")
    step = st.builds(
        Step,
        think=words.map(str.strip),
        queries=st.lists(line, min_size=1, max_size=3).map(tuple),
        documents=st.lists(st.builds(ShownDocument, title=st.just("T"), text=line), max_size=2).map(tuple),
    )
    transcript = Transcript(
        steps=tuple(data.draw(st.lists(step, max_size=3))),
        think=data.draw(words.map(str.strip)),
        answers=(data.draw(line), data.draw(line)),
    )
    rendered = RENDERINGS[rendering].render(QUESTION, transcript)
    for template in (chat_templates.PLAIN, chat_templates.THOUGHTFUL, chat_templates.ENDLESS):
        chat = ChatText(load(template))
        text = "".join(stretch.text for stretch in chat.write(rendered))
        form = chat.find_layout(rendering).form
        whole = chat.template.write(rendered.messages, rendered.tools, form)
        assert rendering in STREAMS or text.removesuffix("<|im_end|>") == whole.removesuffix("<|im_end|>")


def test_a_row_that_a_template_alters_is_left_out() -> None:
    template = chat_templates.PLAIN.replace("m.content", "m.content | replace('secret', '')")
    step = TRANSCRIPT.steps[0].model_copy(update={"think": "the secret"})
    rows = [
        RENDERINGS[RenderingName.OPENAI_TOOLS].render(QUESTION, transcript)
        for transcript in (TRANSCRIPT, TRANSCRIPT.model_copy(update={"steps": (step,)}))
    ]
    kept, left_out = TokenMasker(load(template)).try_encode(rows)
    assert not isinstance(kept, MaskError)
    assert isinstance(left_out, MaskError)
    assert left_out.reason == ALTERED
    with pytest.raises(AlteredError):
        list(ChatText(load(template)).write(rows[1]))


def test_the_date_is_the_one_that_is_given() -> None:
    prompts = [
        ChatText(load(chat_templates.CHANNELS), day).write_prompt(RENDERINGS[RenderingName.SEARCH_R1].prompt(QUESTION))
        for day in (date(2026, 11, 30), date(2026, 12, 1))
    ]
    assert ["2026-11-30" in prompts[0], "2026-12-01" in prompts[1]] == [True, True]
    assert prompts[0] == prompts[1].replace("2026-12-01", "2026-11-30")


def test_a_template_that_fails_is_named() -> None:
    with pytest.raises(ChatTemplateError, match="alternate"):
        ChatText(load("{{ raise_exception('roles must alternate') }}")).find_stream()
