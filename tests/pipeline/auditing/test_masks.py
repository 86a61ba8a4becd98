"""Measures of masks: each give-away is found, and nothing in tasks without any; intervals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.auditing.masks import TaskRow, find_faults
from pipeline.search.tokens import make_tokenizer
from schemas.audit import Measure
from tests.support.trajectory_samples import make_task

SECTION = {"given_away", "hinted", "in_section"}
ENGLISH = make_tokenizer("en", "auto")


def list_faults(text: str, golds: list[str], title: str = "Lumea", section: tuple[str, ...] = ()) -> set[str]:
    task = make_task(text, golds)
    spans = [span.model_dump(mode="json") for span in task.spans]
    return set(find_faults(TaskRow("en", title, section, task.masked_text, spans), ENGLISH))


@pytest.mark.parametrize(
    ("text", "golds", "given", "faults"),
    [
        ("Vera Holt was born in 1868.", ["1868"], {}, set()),
        ("She followed Anselm, as Anselm's pupil.", ["Anselm"], {}, {"given_away", "hinted"}),
        ("She won a prize of General Grant.", ["General Grant"], {"section": ("Grant",)}, {"hinted"}),
        ("The Permanent Fund paid.", ["Permanent Fund"], {"section": ("Permanent Fund",)}, SECTION),
        ("The Ariana Afghan Airlines (AAA) flew.", ["AAA"], {}, {"given_away"}),
        ("The World Food Fund (WFF) paid.", ["World Food Fund"], {}, {"given_away"}),
        ("He read Aristotle in Aristotelian schools.", ["Aristotle"], {}, {"hinted"}),
        ("Animal cells and plant cells differ.", ["plant cells"], {}, {"hinted"}),
        ("It took 35–36 days.", ["36"], {}, {"cut_units"}),
        ("The Liechtensteiner came.", ["Liechtenstein"], {}, {"cut_units"}),
        ("他於2013年来。", ["2013年"], {}, set()),
        ("Cities such as Kasrok grew.", ["Kasrok"], {}, {"open_lists"}),
        ("Barok and the Dervin met.", ["Barok", "Dervin"], {}, {"exchangeable"}),
    ],
)  # fmt: skip
def test_faults_of_masks(text: str, golds: list[str], given: dict[str, tuple[str, ...]], faults: set[str]) -> None:
    assert list_faults(text, golds, section=given.get("section", ())) == faults


@given(st.integers(0, 50), st.integers(0, 50))
def test_intervals_hold_the_share(count: int, more: int) -> None:
    measure = Measure(name="x", part="", count=count, of=count + more, about="")
    if measure.share is None:
        assert measure.interval is None
    else:
        assert measure.interval is not None
        low, high = measure.interval
        assert 0 <= low <= measure.share + 1e-9
        assert measure.share - 1e-9 <= high <= 1


def test_an_interval_is_wilsons() -> None:
    low, high = Measure(name="x", part="", count=8, of=10, about="").interval or (0, 0)
    assert math.isclose(low, 0.4902, abs_tol=1e-4)
    assert math.isclose(high, 0.9433, abs_tol=1e-4)
