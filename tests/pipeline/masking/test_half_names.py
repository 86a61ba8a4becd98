"""Names that are cut, shared, listed or phrases; and those that are whole."""

from __future__ import annotations

import pytest

from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.half_names import is_half_name
from schemas.tasks import SpanKind, SpanSource

NER, LINK = SpanSource.NER, SpanSource.LINK


def check(text: str, source: SpanSource = NER, label: str = "ORG", kind: SpanKind = SpanKind.ENTITY) -> bool:
    """`text`: with the span between angle brackets."""
    start, end = text.index("<"), text.index(">") - 1
    plain = text.replace("<", "").replace(">", "")
    return is_half_name(SpanCandidate(start, end, kind, label, source), plain)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("the first stage (S-<IC>)", NER),
        ("the <Saturn>-V rocket", NER),
        ("in <East> and West Florida", NER),
        ("in <North>, South and Central America", NER),
        ("an <Olympic> gold medal", NER),
        ("<Alphabetically>, it comes first", NER),
        ("<Federer, Djokovic> won", NER),
        ("under <Floyd and Pillow>, a decision", NER),
        ('the <ASCII "Network Virtual Terminal>"', NER),
        ("the <Bank (of Rome> and so on)", LINK),
        ("<thirteen of its North American colonies> rose", LINK),
        ("plants grow <on snow> and more", LINK),
        ("<read the first 10 verses from> it", LINK),
    ],
)
def test_what_is_not_one_whole_name(text: str, source: SpanSource) -> None:
    assert check(text, source)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("in <Paris>-based firms", NER),
        ("in <East Florida> and West Florida", NER),
        ("the <Atlantic>.", NER),
        ("<Sally>, who sang", NER),
        ("<JVC America, Inc.> opened", NER),
        ("<Alton, Smith & Co> opened", NER),
        ("the <National Institute of Standards and Technology>", NER),
        ("as <head of state> he", LINK),
        ("an <Olympic> gold medal", LINK),
        ('the "<Network Virtual Terminal>"', NER),
    ],
)
def test_what_is_a_whole_name(text: str, source: SpanSource) -> None:
    assert not check(text, source)


@pytest.mark.parametrize(
    ("text", "cut"), [("the <Tamil> scripture", True), ("the <Tamils> came", False), ("born a <Tamil>.", False)]
)
def test_a_group_that_describes_is_no_name(text: str, cut: bool) -> None:
    assert check(text, label="NORP") is cut


def test_figures_and_places_are_left_to_others() -> None:
    assert not check('<6 ft 2">', kind=SpanKind.NUMBER)
    assert not check("<Batavia, Illinois> is", label="GPE")
