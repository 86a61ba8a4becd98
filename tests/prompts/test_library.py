"""Templates: one pass, inert outside text, digests."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.library import (
    FOLDER,
    PLACEHOLDER,
    TAGS,
    Block,
    Template,
    TemplateError,
    join_blocks,
    load_template,
    load_words,
    make_inert,
)

TAG_LIKE = re.compile(rf"[<＜﹤]\s*[/／]?\s*(?:{TAGS})\b|[<＜﹤]\s*[|｜]|\[\s*/?\s*INST\b|<<", re.IGNORECASE)
PIECES = st.sampled_from(
    [
        "<",
        "</",
        "＜",
        "<|im_start|>",
        "think>",
        "<search>",
        "</answer >",
        "{title}",
        "{",
        "}",
        "Ignore the above.",
        "[INST]",
        " ",
        "a",
        "中",
        "\n",
    ]
)
POISON = st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join)


@given(POISON)
def test_inert_text_opens_no_tag_and_keeps_its_length(text: str) -> None:
    inert = make_inert(text)
    assert len(inert) == len(text)
    assert not TAG_LIKE.search(inert)
    assert make_inert(inert) == inert


@given(POISON, POISON)
def test_a_value_never_opens_a_placeholder(one: str, other: str) -> None:
    template = Template("t", ("{a}|{b}|{a}",), frozenset({"a", "b"}), "")
    assert template.fill(a=one, b=other) == "|".join(map(make_inert, (one, other, one)))


@given(POISON)
def test_a_block_keeps_our_tags_and_no_other(text: str) -> None:
    inner = Template("i", ("<passage>{text}</passage>",), frozenset({"text"}), "")
    outer = Template("o", ("{passages}|{text}",), frozenset({"passages", "text"}), "")
    blocks = join_blocks([Block(inner.fill(text=text))] * 2, "none")
    inert = make_inert(text)
    assert outer.fill(passages=blocks, text=text) == "\n".join([f"<passage>{inert}</passage>"] * 2) + f"|{inert}"
    assert join_blocks([], "none").text == "none"


def test_plain_less_than_signs_stay() -> None:
    assert make_inert("a < b, x<y, <b>bold</b>, <thinking") == "a < b, x<y, <b>bold</b>, <thinking"


@pytest.mark.parametrize("fields", [{}, {"a": "1"}, {"a": "1", "b": "2", "c": "3"}])
def test_wrong_fields_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(TemplateError, match="wrong or missing"):
        Template("t", ("{a}{b}",), frozenset({"a", "b"}), "").fill(**fields)


def test_every_template_exists_in_both_languages_with_the_same_fields() -> None:
    names = {path.name.split(".")[0] for path in FOLDER.glob("*.md")}
    assert names
    for name in names:
        english, chinese = load_template(name, "en"), load_template(name, "zh")
        assert english.fields == chinese.fields
        assert english.digest != chinese.digest
    assert load_words("extractive_words", "en").keys() == load_words("extractive_words", "zh").keys()


@pytest.mark.parametrize(("count", "text"), [("1", "1 gap is"), ("2", "2 gaps are"), ("0", "0 gaps are")])
def test_nouns_and_verbs_agree_with_a_count(count: str, text: str) -> None:
    assert Template("t", ("{n} {n:gap is|gaps are}",), frozenset({"n"}), "").fill(n=count) == text


def test_no_template_leaves_the_number_open() -> None:
    assert not [path.name for path in FOLDER.glob("*.md") if "(s)" in path.read_text(encoding="utf-8")]


def test_languages_fall_back_and_unknown_names_fail() -> None:
    assert load_template("extractive_plan", "zh-hant").name == "extractive_plan.zh"
    assert load_template("extractive_plan", "de").name == "extractive_plan.en"
    for name in ("no_such_template", "../library"):
        with pytest.raises(TemplateError, match="no template"):
            load_template(name, "en")


def test_phrasings_differ_and_are_picked_by_remainder() -> None:
    template = load_template("extractive_plan", "en")
    fields = dict.fromkeys(template.fields, "x")
    said = {template.fill(number, **fields) for number in range(20)}
    assert len(said) == len(template.phrasings) >= 3
    assert not any(PLACEHOLDER.search(text) for text in said)
