"""The report in a real browser: silent, within the screen, and usable with and without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.report.collecting import collect_report
from pipeline.report.page import build_report
from tests.support.headless_chromium import CHROMIUM, Page, open_chromium
from tests.support.report_samples import (
    COMPARISONS,
    GOLDS,
    POISON,
    SOURCES,
    TEXT,
    make_examples,
    make_record,
    write_shards,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on poisoned text, with a word longer than any screen."""
    folder = tmp_path_factory.mktemp("run")
    examples = make_examples(48, text=f"{TEXT} {POISON.replace(chr(0), '')} {'long' * 200}", golds=GOLDS)
    funnel = (*make_record().funnel, *COMPARISONS)
    record = make_record().model_copy(update={"run": f"demo {POISON}", "funnel": funnel})
    path = folder / "report.html"
    path.write_text(build_report(collect_report(record, write_shards(folder, examples), examples=20)), "utf-8")
    return path


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_opens_in_silence_and_fits(page: Page, report: Path, width: int, dark: bool) -> None:
    page.open(report, width, dark=dark)
    for _ in range(20):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.press("j")
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith("file:")] == []
    assert page.evaluate("typeof window.broken") == "undefined"


def test_examples_are_read_by_keyboard_and_filtered(page: Page, report: Path) -> None:
    page.open(report, 1280)
    shown = "[...document.querySelectorAll('.example')].filter(e => e.offsetHeight).map(e => e.id).join()"
    assert page.evaluate(shown) == "example-1"
    page.press("j")
    assert page.evaluate(shown) == "example-2"
    page.press("k")
    page.press("k")
    assert page.evaluate(shown) == "example-20"
    page.evaluate("document.querySelector('[data-filter=accepted]').click()")
    page.press("j")
    assert page.evaluate("document.querySelector('.example.current').classList.contains('kept')")
    assert page.evaluate("document.querySelector('.where').textContent").endswith("of 10")


def test_an_answer_leads_to_its_evidence(page: Page, report: Path) -> None:
    page.open(report, 1280)
    page.evaluate("document.querySelectorAll('.shown').forEach(d => { d.open = false })")
    target = page.evaluate(
        "(() => { const a = document.querySelector('.evidence'); a.click(); return a.hash.slice(1) })()"
    )
    assert page.evaluate(f"document.getElementById('{target}').open")
    assert SOURCES[0][1] in page.evaluate(f"document.getElementById('{target}').textContent")


def test_reads_without_scripts(page: Page, report: Path) -> None:
    page.open(report, 390, script=False)
    page.send("Emulation.setScriptExecutionDisabled", value=False)
    heights = page.evaluate("[...document.querySelectorAll('.example')].map(e => e.offsetHeight)")
    assert len(heights) == 20
    assert min(heights) > 0
    assert page.evaluate("document.querySelector('.filters').offsetHeight") == 0
