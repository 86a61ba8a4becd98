"""The difficulty of a span: what raises and lowers it, and what is left out where a fact is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.masking.span_difficulty import estimate_difficulty, is_common, scale_count
from schemas.tasks import SpanKind

KINDS = st.sampled_from(list(SpanKind))
NATS = st.floats(0, 500)
PASSAGES = st.floats(0, 1e6)


@given(KINDS, NATS, NATS, PASSAGES, PASSAGES)
def test_surprisal_raises_it_and_passages_lower_it(
    kind: SpanKind, one: float, two: float, few: float, many: float
) -> None:
    (one, two), (few, many) = sorted((one, two)), sorted((few, many))

    def estimate(nats: float, passages: float) -> float:
        return estimate_difficulty(kind, "x", "Rome", nats, passages)

    assert 0 <= estimate(one, few) <= estimate(two, few) <= 1
    assert estimate(one, many) <= estimate(one, few)


@pytest.mark.parametrize("surprisal", [None, 12.0])
@pytest.mark.parametrize("passages", [None, 3.0])
def test_figures_are_harder_than_names_and_names_than_terms(surprisal: float | None, passages: float | None) -> None:
    ranked = [
        estimate_difficulty(kind, label, text, surprisal, passages)
        for kind, label, text in (
            (SpanKind.DATE, "year", "1843"),
            (SpanKind.ENTITY, "PERSON", "Ada Lovelace"),
            (SpanKind.ENTITY, "LOC", "Alps"),
        )
    ]
    assert ranked == sorted(ranked, reverse=True)
    assert len(set(ranked)) == 3


@pytest.mark.parametrize(
    ("kind", "label", "text", "common"),
    [
        (SpanKind.ENTITY, "PERSON", "Leonardo da Vinci", False),
        (SpanKind.ENTITY, "link", "Brownian motion", True),
        (SpanKind.ENTITY, "NORP", "Normans", True),
        (SpanKind.ENTITY, "GPE", "列支敦士登", False),
        (SpanKind.TERM, "link", "oviduct", True),
        (SpanKind.NUMBER, "quantity", "8 mm", False),
        (SpanKind.ENTITY, "link", " ", False),
    ],
)
def test_concepts_are_common(kind: SpanKind, label: str, text: str, common: bool) -> None:
    assert is_common(kind, label, text) is common


def test_counts_of_large_corpora_are_scaled_down_only() -> None:
    assert scale_count(30, 50_000) == 3
    assert scale_count(3, 40) == 3
    assert scale_count(0, 0) == 0
