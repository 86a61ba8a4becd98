"""Tokens carry loss exactly where the model itself wrote, whatever the format, the template and the text."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.configuration.cache import cache_folder
from pipeline.assets.store import resolve_model
from pipeline.rendering.chat_template import INLINE, ChatTemplateError
from pipeline.rendering.chat_text import ChatText
from pipeline.rendering.formats import RENDERINGS, Rendering
from pipeline.rendering.token_masks import IGNORED, OWN_WORDS, MaskError, TokenMasker
from pipeline.rendering.transcript import ask, transcribe
from schemas.renderings import ChatMessage, ChatRole, Rendered, RenderingName, Segment, SegmentKind
from tests.support.trajectory_samples import make_attempt

pytestmark = pytest.mark.assets

TOOL_TEMPLATE = """\
{%- if tools %}{{ '<|im_start|>system\\nTools: ' + tools | tojson + '<|im_end|>\\n' }}{% endif %}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}
{%- for call in m.tool_calls or [] %}{{ '<tool_call>' + call.function | tojson + '</tool_call>' }}{% endfor %}
{{- '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
THOUGHTLESS_TEMPLATE = """\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content.split('</think>')[-1] + '<|im_end|>\\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
LETTERS = st.characters(categories=["L", "N", "P", "Zs"], max_codepoint=0x9FFF)  # this vocabulary lacks rarer bytes
WORDS = st.text(st.one_of(LETTERS, st.sampled_from("1868北京 <>\n")), max_size=30)
ALL = pytest.mark.parametrize("rendering", RENDERINGS.values(), ids=lambda rendering: str(rendering.name))


@cache
def load_tokenizer(template: str | None = TOOL_TEMPLATE) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_model("smollm2-135m-instruct", cache_folder()))
    if template is not None:
        tokenizer.chat_template = template
    return tokenizer


def render(rendering: Rendering, think: str = "Which year?", shown: str = "Founded in 1868.") -> Rendered:
    attempt = make_attempt(shown=shown, final_think=think)
    return rendering.render(ask(attempt.task), transcribe(attempt.trajectory))


def read(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))


@ALL
@settings(max_examples=30)
@given(think=WORDS, shown=WORDS)
def test_loss_lies_on_what_the_model_wrote_and_on_nothing_else(rendering: Rendering, think: str, shown: str) -> None:
    tokenizer = load_tokenizer()
    rendered = render(rendering, think, shown)
    (row,) = TokenMasker(tokenizer).encode([rendered])
    stretches = list(ChatText(tokenizer).write(rendered))
    assert read(tokenizer, row.input_ids) == "".join(stretch.text for stretch in stretches)
    learned = [token for token in row.labels if token != IGNORED]
    assert read(tokenizer, learned) == "".join(stretch.text for stretch in stretches if stretch.spoken)
    trained = {kind for kind, train in zip(row.kinds, row.trained, strict=True) if train}
    assert trained == OWN_WORDS


@ALL
def test_the_text_is_that_of_the_chat_template(rendering: Rendering) -> None:
    tokenizer = load_tokenizer()
    rendered = render(rendering)
    messages = [INLINE.write(message) for message in rendered.messages]
    tools = _load(rendered.tools) if rendered.tools else None
    whole = tokenizer.apply_chat_template(messages, tokenize=False, tools=tools)
    assert "".join(stretch.text for stretch in ChatText(tokenizer).write(rendered)) == whole


def _load(text: str) -> Any:
    import orjson

    return orjson.loads(text)


@pytest.mark.parametrize("name", [RenderingName.SEARCH_R1, RenderingName.RESEARCH])
def test_a_template_that_drops_thoughts_cannot_touch_a_stream(name: RenderingName) -> None:
    tokenizer = load_tokenizer(THOUGHTLESS_TEMPLATE)
    text = "".join(stretch.text for stretch in ChatText(tokenizer).write(render(RENDERINGS[name])))
    assert text.count("<think>Which year is meant?</think>") == 1


def test_a_template_without_tools_is_refused_for_formats_that_need_them() -> None:
    for name in (RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH):
        with pytest.raises(ChatTemplateError, match="tools"):
            TokenMasker(load_tokenizer(None)).encode([render(RENDERINGS[name])])


def test_observations_are_trained_on_only_when_asked_for() -> None:
    tokenizer = load_tokenizer(None)
    rendered = render(RENDERINGS[RenderingName.SEARCH_R1])
    (plain,) = TokenMasker(tokenizer).encode([rendered])
    (auxiliary,) = TokenMasker(tokenizer, OWN_WORDS | {SegmentKind.OBSERVATION}).encode([rendered])
    seen = [kind is SegmentKind.OBSERVATION for kind in auxiliary.kinds]
    assert any(seen)
    assert all(train for train, was_seen in zip(auxiliary.trained, seen, strict=True) if was_seen)
    assert sum(plain.trained) == sum(auxiliary.trained) - sum(seen)


def test_a_row_that_teaches_nothing_is_refused() -> None:
    said = ChatMessage(role=ChatRole.USER, segments=(Segment(kind=SegmentKind.PROMPT, text="Say"),))
    shown = ChatMessage(role=ChatRole.ASSISTANT, segments=(Segment(kind=SegmentKind.OBSERVATION, text="seen"),))
    rendered = Rendered(rendering=RenderingName.SEARCH_R1, messages=(said, shown), tools=None)
    with pytest.raises(MaskError, match="nothing_trained"):
        TokenMasker(load_tokenizer(None), frozenset({SegmentKind.ANSWER})).encode([rendered])


def test_a_tokenizer_without_a_template_is_refused() -> None:
    with pytest.raises(ChatTemplateError, match="no chat template"):
        TokenMasker(load_tokenizer(""))
