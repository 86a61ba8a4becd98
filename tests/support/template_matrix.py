"""One cell of the matrix of templates and formats, judged by `apply_chat_template` and by the text alone."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rendering.chat_template import ChatTemplateError
from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.observations import write_documents
from pipeline.rendering.token_masks import IGNORED, TokenMasker
from pipeline.rendering.transcript import fold_line
from pipeline.rewards.completions import Completion, read_completion
from pipeline.rewards.formulas import RewardInput, assess
from schemas.policies import STREAMED
from schemas.renderings import (
    QuestionKind,
    Rendered,
    RenderedQuestion,
    RenderingName,
    SegmentKind,
    ShownDocument,
    Step,
    Transcript,
)
from schemas.rewards import GamingReason

QUESTION = RenderedQuestion(kind=QuestionKind.RAMP, lang="en", text="Ada\nBorn in [mask 1] in [mask 2].", answers=2)
TRANSCRIPT = Transcript(
    steps=(
        Step(
            think="First, which page?",
            queries=("ada lovelace", 'the "Enchantress" 北京'),
            documents=(ShownDocument(title="Ada", text='One "quoted" text.'), ShownDocument(title="B", text="Two.")),
        ),
        Step(
            think="Second,\n\nin two parts.",
            queries=("born where",),
            documents=(ShownDocument(title="C", text="Three é."),),
        ),
    ),
    think="Third: enough.",
    answers=("1815", "London"),
)
TAG = r"(?:<(?:\w+:)?think>|<\|channel\|?>(?:analysis<\|message\|>|thought))"
DOUBLED = re.compile(rf"{TAG}\s*{TAG}|</think>\s*{TAG}|</think>\s*</think>")


def judge_cell(tokenizer: Any, name: RenderingName, known: bool = True) -> str:
    """`refused`, `identical` or `as served`; a cell that is none of these fails.

    `known`: the template writes calls and results as one of the families that rewards read.
    """
    rendered = RENDERINGS[name].render(QUESTION, TRANSCRIPT)
    masker = TokenMasker(tokenizer)
    try:
        (row,) = masker.encode([rendered])
    except ChatTemplateError as error:
        _check_refusal(masker, error, name)
        return "refused"
    stretches = list(masker.chat.write(rendered))
    text = "".join(stretch.text for stretch in stretches)
    own = "".join(stretch.text for stretch in stretches if stretch.spoken)
    learned = [token for token in row.labels if token != IGNORED]
    assert tokenizer.decode(row.input_ids, clean_up_tokenization_spaces=False) == text
    assert tokenizer.decode(learned, clean_up_tokenization_spaces=False) == own
    _check_parts(text, own, stretches)
    if name in STREAMED:
        _check_stream(masker, rendered, text, tokenizer)
        return "identical"
    if known and not (name is RenderingName.QWEN_TOOLS and KIMI_K3 in text):
        _check_written(masker, name)
    return _compare(masker, rendered, text, tokenizer)


def _check_refusal(masker: TokenMasker, error: ChatTemplateError, name: RenderingName) -> None:
    assert str(name) in error.what
    for other in RenderingName:
        fits = True
        try:
            masker.chat.find_layout(other)
        except ChatTemplateError:
            fits = False
        assert fits == (other in error.fix.replace("use the rendering ", "").split(" or "))


def _check_parts(text: str, own: str, stretches: list[Any]) -> None:
    """Nothing is lost, nothing is there twice, and loss stands on the model's part alone."""
    for step in TRANSCRIPT.steps:
        for query in step.queries:
            assert any(form in own for form in (query, json.dumps(query, ensure_ascii=False)[1:-1])), query
        for document in step.documents:
            written = (document.text, json.dumps(document.text, ensure_ascii=False)[1:-1])
            assert any(form in text for form in written), document
            assert not any(form in own for form in written), document
    for thought in (*(step.think for step in TRANSCRIPT.steps), TRANSCRIPT.think):
        assert own.count(thought) == 1, thought
        kinds = {stretch.kind for stretch in stretches if thought in stretch.text}
        assert kinds == {SegmentKind.THINK}
    assert "2. London" in own
    assert not DOUBLED.search(text)


def _check_stream(masker: TokenMasker, rendered: Rendered, text: str, tokenizer: Any) -> None:
    layout = masker.chat.find_stream()
    stream = rendered.messages[-1].content
    plain = [{"role": str(message.role), "content": message.content} for message in rendered.messages[:-1]]
    switches = dict(layout.form.switches)
    prompt = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True, **switches)
    marked = [*plain, {"role": "assistant", "content": "(mark)"}]
    _, _, end = tokenizer.apply_chat_template(marked, tokenize=False, **switches).partition("(mark)")
    body = stream.removeprefix("<think>") if re.search(r"<think>\s*$", prompt) else stream
    assert text == prompt + layout.lead + body + (end or tokenizer.eos_token)
    assert layout.write_prompt(rendered.messages[:-1]) == prompt + layout.lead
    _check_reward(rendered.rendering, body)


def _check_reward(name: RenderingName, completion: Completion) -> None:
    """Rewards read the completion as what it is."""
    reading = read_completion(name, "en", len(TRANSCRIPT.answers), completion)
    assert (reading.in_form, reading.answers) == (True, TRANSCRIPT.answers)


KIMI_K3 = "<|sep|>"
"""Mark of a template that writes turns without special tokens of the usual form; Qwen's tags in them are not read."""
WORDS = st.text(st.sampled_from("ab\"'\\\\ {}[]<:,=()é北1.-"), min_size=1, max_size=12).map(fold_line).filter(bool)


def _check_written(masker: TokenMasker, name: RenderingName) -> None:
    """Rewards read the template's own text of any turn: the calls as many as they are, the results where they stand."""

    @given(st.lists(st.tuples(st.lists(WORDS, min_size=1, max_size=3), WORDS), min_size=1, max_size=3))
    @settings(max_examples=25, deadline=None)
    def check(steps: list[tuple[list[str], str]]) -> None:
        documents = [(ShownDocument(title="A", text=shown),) for _, shown in steps]
        written = Transcript(
            steps=tuple(
                Step(think="Which one?", queries=tuple(queries), documents=found)
                for (queries, _), found in zip(steps, documents, strict=True)
            ),
            think="Enough.",
            answers=TRANSCRIPT.answers,
        )
        _, *rest = masker.chat.write(RENDERINGS[name].render(QUESTION, written))
        completion = "".join(stretch.text for stretch in rest)
        reading = read_completion(name, "en", len(written.answers), completion)
        shown = tuple(write_documents(found, "en") for found in documents)
        assert (reading.in_form, reading.answers, reading.observations) == (True, written.answers, shown)
        asked = RewardInput(name, "en", "", tuple((str(answer),) for answer in written.answers))
        assert assess(asked, completion, shown).gaming is None
        assert assess(asked, completion, ()).gaming is GamingReason.WRITTEN_RESULTS

    check()


def _compare(masker: TokenMasker, rendered: Rendered, text: str, tokenizer: Any) -> str:
    form = masker.chat.find_layout(rendered.rendering).form
    messages = [form.write(message) for message in rendered.messages]
    options: dict[str, Any] = {
        "tokenize": False,
        "tools": json.loads(rendered.tools) if rendered.tools else None,
        **dict(form.switches),
    }
    whole = tokenizer.apply_chat_template(messages, **options)
    _check_reward(rendered.rendering, messages[2:])
    if text in (whole, whole + tokenizer.eos_token):
        return "identical"
    for end in range(2, len(messages), 2):
        assert text.startswith(tokenizer.apply_chat_template(messages[:end], add_generation_prompt=True, **options))
    served = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, **options)
    last = text.removeprefix(served)
    assert whole.endswith(last.removesuffix(tokenizer.eos_token)) or whole.endswith(last)
    return "as served"
