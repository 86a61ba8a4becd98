"""Sentence bounds and token counts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.passages.counting import count_tokens
from pipeline.passages.sentences import find_sentences

TRICKY = st.text(alphabet="ab A1.。！？!?\"'”》）) \n\t\u3000(…च।", max_size=200)


def split(text: str) -> list[str]:
    return [text[start:end].strip() for start, end in find_sentences(text)]


@given(st.one_of(TRICKY, st.text(max_size=200)))
def test_bounds_tile_the_text(text: str) -> None:
    bounds = find_sentences(text)
    assert "".join(text[start:end] for start, end in bounds) == text
    assert all(start < end for start, end in bounds)


@given(TRICKY)
def test_a_line_break_always_ends_a_sentence(text: str) -> None:
    for start, end in find_sentences(text):
        assert "\n" not in text[start:end].strip()


@pytest.mark.parametrize(
    "sentences",
    [
        ["He was born c. 1820 in St. Louis.", "J. R. R. Tolkien met Dr. Smith, e.g. in No. 5.", "He left."],
        ["The U.S. Army left.", "He moved to the U.S.", "In 1998 he died."],
        ["Pi is 3.14.", "It cost $5.50!", '"Really?" he asked.', '"Yes."', "She left (in Jan. 1900).", "Gone."],
        ["Samuel L. Jackson came.", "He preferred plan B.", "They left at 5 p.m. Monday.", "See Fig. 3."],
        ["Apple Inc. bought it.", "His son was Lon Jr. (b. 1906).", "He died at age 46.", "Wilde's parents paid."],
        ["The text ends (with Jr.).", "Esther followed."],
        ['"Duck, You Sucker!" (1971) followed.', "“Cry now! ” is a song."],
        ["他来了。", "“你好！”", "他说。", "《蹦蹦！》是歌。", "第二；", "「第三？」", "结束"],
        ["Am 3. Oktober 1990 war es.", "Im 19. Jahrhundert nicht."],
        ["1. First item", "2. Second item", "New paragraph.", "Its end"],
        ["यह है।", "वह है।"],
        ["Is it?", "It is… perhaps.", "Then what?!", "Yes."],
        ["It appeared in vol. IV of the series.", "See pt. II and bk. II, ch. XII of Art. III.", "Next one."],
        ["Napoleon brings it back (Ch. IX).", "See vol. iv, pl. 4 and Fig. A of it.", "Opus No. I in C."],
        ['The tray (算盤, lit. "Counting tray") is old.', "A wall, lit. Great Wall, is long.", "It ended."],
        ["The room was lit.", "He left.", "The lamp was lit.", '"Come in," she said.', "It is art.", "A man came."],
        ["He said no.", "A dog came.", "He asked.", "No.", "I did not."],
    ],
)
def test_sentences_end_where_a_reader_ends_them(sentences: list[str]) -> None:
    joiner = "" if "。" in sentences[0] else "\n" if sentences[0].startswith("1.") else " "
    assert split(joiner.join(sentences)) == sentences


@pytest.mark.parametrize("unit", [".", ". ", "。", "a. ", "\n", " ", "!”", '"', "U.", "(", "1. "])
def test_time_is_linear_on_hostile_text(unit: str) -> None:
    text = unit * (400_000 // len(unit))
    started = time.perf_counter()
    find_sentences(text)
    assert time.perf_counter() - started < 5  # a quadratic rule would take hours


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("\ufffc — !", 0),
        ("Ten green bottles", 3),
        ("don't 3.14", 4),
        ("中文字", 3),
        ("東京タワー is tall", 7),
        ("한국어 낱말", 2),
        ("iPhone手机2", 4),
        ("São_Paulo", 1),
    ],
)
def test_tokens_are_words_and_unspaced_characters(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens
