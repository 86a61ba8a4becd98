"""What a question shows of a span: by whole, by part, by initials; and what gives nothing away."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.filters import SpanFilter
from pipeline.masking.words import Roots
from schemas.masking_config import MaskingConfig
from schemas.passages import Passage
from schemas.tasks import SpanKind, SpanSource
from tests.support.growth import LINEAR, cpu_growth

ENTITY, DATE, NUMBER, TERM = SpanKind.ENTITY, SpanKind.DATE, SpanKind.NUMBER, SpanKind.TERM


def check(
    text: str, span: str, kind: SpanKind = ENTITY, lang: str = "en", aliases: tuple[str, ...] = (), **around: Any
) -> str | None:
    """Why the first occurrence of a span may not be masked. `around`: title and section."""
    values: dict[str, Any] = {"title": "A page", "section": (), **around}
    passage = Passage.model_validate(
        {
            "passage_id": "p", "document_id": "d", "page_id": 1, "lang": lang, "text": text, "start": 0,
            "end": len(text), "tokens": 9, "links": (), **values,
        }
    )  # fmt: skip
    start = text.index(span)
    candidate = SpanCandidate(start, start + len(span), kind, "x", SpanSource.LINK)
    return SpanFilter(passage, Roots(lang), MaskingConfig()).check(candidate, aliases)


@pytest.mark.parametrize(
    ("text", "span", "kind", "reason"),
    [
        ("Ariana Afghan Airlines (AAA) flies.", "AAA", ENTITY, "initials"),
        ("It has a graphical user interface (GUI).", "GUI", TERM, "initials"),
        ("The Bank of New York (BNY) lends.", "BNY", ENTITY, "initials"),
        ("A GUI is a graphical user interface.", "graphical user interface", TERM, "initials"),
        ("It flies to NASA and back.", "NASA", ENTITY, None),
        ("St Anselm wrote; they followed Anselm.", "St Anselm", ENTITY, "partly_shown"),
        ("Aristotle taught the Aristotelian view.", "Aristotle", ENTITY, "partly_shown"),
        ("He left Constantinople under the constitution.", "Constantinople", ENTITY, "partly_shown"),
        ("They study animal cells in cells.", "animal cells", TERM, "partly_shown"),
        ("In North Carolina, to the north of it, lies a town.", "North Carolina", ENTITY, "partly_shown"),
        ("The Bank of Rome and of Oslo.", "Bank of Rome", ENTITY, None),
        ("The Chēmia, or chemia, is an art.", "Chēmia", ENTITY, "repeated"),
        ("On 4 May 1886 and in 1886 it struck.", "4 May 1886", DATE, "partly_shown"),
        ("On 4 May 1886 and 6 May 1887 it struck.", "4 May 1886", DATE, None),
        ("After 1990, in the 1990s, it grew.", "1990", DATE, "partly_shown"),
        ("It took 10 years for 10 works. That is years.", "10 years", NUMBER, "partly_shown"),
        ("It took 10 years. That is years.", "10 years", NUMBER, None),
    ],
)
def test_what_the_passage_shows(text: str, span: str, kind: SpanKind, reason: str | None) -> None:
    assert check(text, span, kind) == reason


@pytest.mark.parametrize(
    ("span", "kind", "around", "reason"),
    [
        ("1905", DATE, {"section": ("Life", "1905 - Annus mirabilis")}, "in_section"),
        ("Permanent Fund", ENTITY, {"section": ("Permanent Fund",)}, "in_section"),
        ("Ulysses Grant", ENTITY, {"section": ("General Grant",)}, "partly_shown"),
        ("Linguist", ENTITY, {"section": ("Linguistic forms",)}, "in_section"),
        ("Lincoln", ENTITY, {"title": "Abraham Lincoln"}, "in_title"),
        ("Mary Lincoln", ENTITY, {"title": "Abraham Lincoln"}, "partly_shown"),
        ("Analytical Engine", ENTITY, {"section": ("The AE",)}, "initials"),
        ("Rome", ENTITY, {"section": ("Life",)}, None),
    ],
)
def test_what_title_and_headings_show(span: str, kind: SpanKind, around: dict[str, Any], reason: str | None) -> None:
    assert check(f"It was {span} at last.", span, kind, **around) == reason


def test_an_alias_in_a_heading_gives_away() -> None:
    text, span, aliases = "He left Constantinople.", "Constantinople", ("Istanbul",)
    assert check(text, span, aliases=aliases, section=("Istanbul",)) == "in_section"
    assert check(text, span, aliases=aliases, title="Istanbul") == "repeated"


def test_growth_with_the_passage_is_linear() -> None:
    def make(size: int) -> str:
        return "It was Trondheim. " + "".join(
            f"He saw Oslo {n} in {2 * n} with the ABC of Paris. " for n in range(size)
        )

    assert cpu_growth(make, lambda text: check(text, "Trondheim"), 50) < LINEAR


@pytest.mark.parametrize(
    ("text", "span", "reason"),
    [
        ("卡尔·马克思生于特里尔，马克思是学者。", "卡尔·马克思", "partly_shown"),
        ("北京大学在海淀区，北京还有别的大学。", "北京大学", "partly_shown"),
        ("列支敦士登在欧洲，他登山。", "列支敦士登", None),
    ],
)
def test_half_of_a_chinese_name_gives_away(text: str, span: str, reason: str | None) -> None:
    assert check(text, span, lang="zh") == reason


@pytest.mark.parametrize(
    ("text", "span", "kind", "reason"),
    [
        ("2013年加盟球队，2013赛季出场28次。", "2013年", DATE, "partly_shown"),
        ("他出场得到22分，22篮板。", "22分", NUMBER, "partly_shown"),
        ("他2月出生，1868年2月9日结婚。", "1868年2月9日", DATE, None),
    ],
)
def test_figures_of_a_chinese_fact_give_it_away(text: str, span: str, kind: SpanKind, reason: str | None) -> None:
    assert check(text, span, kind, lang="zh") == reason
