"""The pages in a real browser, over poisoned data: silent, within the screen, read and filtered by keyboard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.headless_chromium import CHROMIUM, Page, open_chromium
from tests.support.inspect_samples import POISON, make_distillation, make_poisoned_run, make_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

SERVER = [sys.executable, "-m", "rampforge", "inspect", "--web", "--port", "0"]
PAGES = (
    "", "attempts", "attempts/try001", "attempts/try001/tokens", "charts", "compare?a=try001&b=try002",
    "data/rejects", "rows?id=try001", "reviews", "labels", "labels?rater=ada&n=6&at=1", "live",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, page: Page) -> Iterator[str]:
    """Where two runs are served, one of them poisoned."""
    folder = tmp_path_factory.mktemp("outputs")
    make_poisoned_run(folder / "poisoned")
    make_run(folder / "harbour")
    make_distillation(folder / "loop")
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*SERVER, str(folder)], env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        started = next(line.strip() for line in server.stderr if line.startswith("http"))
        page.open(started, 1280)
        for run in ("poisoned", "harbour", "loop-union-round-02"):
            await_opened(page, f"{started.split('/?')[0]}/{run}/attempts")
        yield started.split("/?")[0]
        server.send_signal(signal.SIGINT)
        _, rest = server.communicate(timeout=30)
        assert (server.returncode, "Traceback" in rest, "leaked" in rest) == (0, False, False)


@pytest.mark.parametrize("name", PAGES)
def test_poisoned_pages_are_silent_and_fit(page: Page, address: str, name: str) -> None:
    for width, dark in ((1280, False), (390, True)):
        page.open(f"{address}/poisoned/{name}", width, dark=dark)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.complaints() == []
        assert page.evaluate("typeof window.broken") == "undefined"
        assert all(url.startswith((address, "data:")) for url in page.requests())


def test_the_table_is_filtered_and_an_attempt_read_by_keyboard(page: Page, address: str) -> None:
    page.open(f"{address}/harbour/attempts", 1280)
    assert len(page.evaluate("[...document.querySelectorAll('[data-row]')].map(a => a.href)")) == 24
    page.evaluate("document.querySelector('[name=masks]').value = '2'")
    follow(page, "document.querySelector('.go').click()")
    assert page.evaluate("document.querySelectorAll('[data-row]').length") == 6
    assert page.evaluate("new URLSearchParams(location.search).get('masks')") == "2"
    page.press("j")
    page.press("j")
    assert page.evaluate("document.activeElement === document.querySelectorAll('[data-row]')[1]")
    follow(page, "document.activeElement.click()")
    second = page.evaluate("location.pathname")
    press_and_wait(page, "j")
    assert page.evaluate("location.pathname") != second
    press_and_wait(page, "k")
    assert page.evaluate("location.pathname") == second
    press_and_wait(page, "u")
    assert page.evaluate("location.pathname + location.search") == "/harbour/attempts?masks=2"
    assert page.complaints() == []


def test_a_bar_leads_to_its_attempts(page: Page, address: str) -> None:
    page.open(f"{address}/harbour/charts", 1280)
    follow(page, "location.href = document.querySelector('.chart a').getAttribute('href')")
    assert page.evaluate("location.search") == "?masks=1"
    assert page.evaluate("document.querySelectorAll('[data-row]').length") == 6


def test_a_review_is_written_and_help_is_shown(page: Page, address: str) -> None:
    page.open(f"{address}/poisoned/attempts/try002", 1280)
    page.press("n")
    page.evaluate(f"document.activeElement.value = {POISON.replace(chr(0), '')!r}")
    follow(page, "document.querySelector('.review .bad').click()")
    assert page.evaluate("document.querySelector('.review .mark').textContent") == "bad"
    page.evaluate("document.activeElement.blur()")
    page.press("?")
    assert page.evaluate("document.getElementById('keys').open")
    assert page.complaints() == []
    assert page.evaluate("typeof window.broken") == "undefined"


def test_masks_are_labelled_by_keyboard(page: Page, address: str) -> None:
    page.open(f"{address}/harbour/labels?rater=ada&n=3", 1280)
    page.press("1")
    assert not page.evaluate("document.querySelectorAll(':checked').length")  # the codes are not shown yet
    page.press("g")
    page.evaluate("document.activeElement.value = '1868'")
    page.press("1")
    page.press("Enter")
    assert page.evaluate("document.getElementById('answer').open")
    assert page.evaluate("document.querySelectorAll(':checked').length") == 0
    for key in ("2", "1", "4", "7", "="):
        page.press(key)
    assert page.evaluate("[...document.querySelectorAll(':checked')].map((one) => one.value)") == [
        "search", "one", "good", "no"
    ]  # fmt: skip
    press_and_wait(page, "s")
    assert page.evaluate("document.querySelector('progress').value") == 1
    page.press("v")
    assert page.evaluate("document.getElementById('answer').open")
    press_and_wait(page, "k")
    assert page.evaluate("document.querySelectorAll(':checked').length") == 4
    press_and_wait(page, "u")
    assert page.evaluate("location.pathname") == "/harbour/labels"
    assert page.complaints() == []


def test_text_contrasts_with_its_background(page: Page, address: str) -> None:
    """WCAG 2 AA: 4.5 to 1, for every element that holds text of its own."""
    labels = ("labels", "labels?rater=eve&n=6&at=1")
    for name in ("", "attempts", "attempts/try001", "attempts/try001/tokens", "charts", *labels):
        for dark in (False, True):
            page.open(f"{address}/harbour/{name}", 1280, dark=dark)
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            assert page.evaluate(CONTRAST) == []


def test_rounds_are_shown_and_a_bar_filters_by_round(page: Page, address: str) -> None:
    for width, dark in ((1280, False), (390, True)):
        page.open(f"{address}/", width, dark=dark)
        assert page.evaluate("document.querySelectorAll('#rounds-loop .chart').length") > 4
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
        assert page.complaints() == []
    page.open(f"{address}/loop-union-round-02/charts", 1280)
    follow(page, "location.href = document.querySelector('.chart a[href*=\"round=1\"]').getAttribute('href')")
    assert page.evaluate("location.search") == "?round=1"
    assert page.evaluate("document.querySelectorAll('[data-row]').length") == 24


def await_opened(page: Page, url: str) -> None:
    """Open a page again and again while the run behind it is being opened."""
    for _ in range(200):
        page.open(url, 1280)
        if not page.evaluate("document.title").startswith("Opening"):
            return
    raise AssertionError("the run was never opened")


def follow(page: Page, action: str) -> None:
    """Do what leads to another page, and wait for that."""
    page.evaluate("window.before = true")
    page.evaluate(action)
    wait_for_load(page)


def press_and_wait(page: Page, key: str) -> None:
    page.evaluate("window.before = true")
    page.press(key)
    wait_for_load(page)


def wait_for_load(page: Page) -> None:
    for _ in range(200):
        try:
            if page.evaluate("!window.before && document.readyState === 'complete'"):
                return
            page.evaluate("new Promise((done) => setTimeout(done, 25))")
        except RuntimeError:  # the page went while it was asked
            continue
    raise AssertionError("no other page came")


CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d");
  const read = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = read(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faults = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length || element.closest("svg, option, dialog")) continue;
    const pair = [light(read(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) faults.push(`${element.className || element.tagName}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(faults)];
})()"""
