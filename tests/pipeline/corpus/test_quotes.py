"""Apostrophes: marks of italics and bold go, apostrophes of words stay, resolved by the line as MediaWiki does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.wikitext.cleaning import clean_wikitext
from pipeline.corpus.wikitext.quotes import strip_quotes


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (
            "The single of ''Supreme Clientele'''s first side rose.",
            "The single of Supreme Clientele's first side rose.",
        ),
        ("''[[Time (magazine)|Time]]'''s cover", "Time's cover"),
        ("''Rock 'n' Roll'''s release", "Rock 'n' Roll's release"),
        ("''Eagle''{{'s}} ascent, ''GQ''{{'}}s critic", "Eagle's ascent, GQ's critic"),
        ("'''''Titanic'''''s", "Titanics"),
        ("'''Titanic''''s", "Titanic's"),
        ("d''''Artagnan'''", "d'Artagnan"),
        ("''''quoted''''", "'quoted'"),
        ("'''bold''' and ''italic'' and '''''both'''''", "bold and italic and both"),
        # The bold mark after a word of one letter is the apostrophe, wherever it is.
        ("Le '''mot''' de l'''Iliade'' ici", "Le mot de l'Iliade ici"),
        ("mot'''a''' et l'''Iliade''", "mota et l'Iliade"),
        # Else the first one after a longer word, else the first one after a space.
        ("dell'''arte'' e", "dell'arte e"),
        ("vu '''a''", "vu 'a"),
        # A line is resolved on its own, and so is the label of a link.
        ("l'''Iliade'' ici\n\n'''gras''' ''x''", "l'Iliade ici\ngras x"),
        ("[[A|''a]] b'' c'''s", "a b c's"),
        ("''a'' '''b''' c'''d", "a b cd"),
    ],
)
def test_a_line_keeps_its_apostrophes(markup: str, text: str) -> None:
    assert clean_wikitext(markup, "T", "fr").text == text


PIECES = st.lists(st.sampled_from(["''", "'''", "'''''", "a", "l", " ", "\n", "word ", "'"]), max_size=20).map("".join)


@given(PIECES)
def test_only_apostrophes_are_lost_and_none_that_stands_alone(text: str) -> None:
    stripped = strip_quotes(text)
    assert stripped.replace("'", "") == text.replace("'", "")
    assert "''" not in stripped
    assert stripped.count("\n") == text.count("\n")
    assert [strip_quotes(line) for line in text.split("\n")] == stripped.split("\n")


@given(st.text(alphabet="al '\n", max_size=40).filter(lambda text: "''" not in text))
def test_text_without_marks_is_unchanged(text: str) -> None:
    assert strip_quotes(text) == text
