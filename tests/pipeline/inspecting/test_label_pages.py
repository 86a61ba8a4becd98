"""The pages of labels over HTTP: what they hide and show, what is saved, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from pipeline.labelling.store import LabelStore
from tests.pipeline.inspecting.test_web import BASE, TOKEN, Tags, open_pages
from tests.support.inspect_samples import make_poisoned_run
from tests.support.label_samples import CODES, GOLDS, TEXT, make_tasks, write_tasks

QUEUE = "/school/labels?rater=ada&seed=1&n=12"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_tasks(tmp_path / "school", make_tasks(8))


@pytest.fixture
def pages(run: Path) -> Iterator[TestClient]:
    with open_pages(run) as client:
        client.get("/", params={"token": TOKEN})
        yield client


def read_fields(page: str) -> dict[str, set[str]]:
    fields: dict[str, set[str]] = {}
    for tag, attrs in Tags(page).seen:
        if tag == "input" and attrs.get("name"):
            fields.setdefault(str(attrs["name"]), set()).add(str(attrs.get("value")))
    return fields


def fill(page: str, **codes: str) -> dict[str, str]:
    """A form of a mask that is filled in."""
    fields = read_fields(page)
    wanted = {**CODES, "missing": "no", **{name: "ok" for name in fields if name.startswith("alias-")}, **codes}
    return {name: wanted[name] for name in fields if name != "mask"} | {"mask": fields["mask"].pop()}


def label_all(pages: TestClient, address: str, **codes: str) -> int:
    """Label from the first mask without a label to the end; the number of masks."""
    for count in range(100):
        page = pages.get(address).text
        if 'name="mask"' not in page:
            return count
        reply = pages.post(address, data=fill(page, **codes), headers={"origin": BASE})
        assert (reply.status_code, reply.headers["location"]) == (303, address)
    raise AssertionError("the queue has no end")


def test_two_raters_label_a_queue_without_seeing_each_other(pages: TestClient, run: Path) -> None:
    assert label_all(pages, QUEUE) == 12
    other = QUEUE.replace("ada", "ben")
    page = pages.get(other).text
    assert "checked" not in page
    assert "ada" not in page
    assert label_all(pages, other, needs="general_knowledge") == 12
    labels = LabelStore(run).read()
    assert {(rater, one.needs) for (rater, _), one in labels.items()} == {
        ("ada", "search"), ("ben", "general_knowledge"),
    }  # fmt: skip
    assert len({mask for _, mask in labels}) == 12
    written = (run / "labels" / "masks.jsonl").read_text()
    assert len([json.loads(line) for line in written.splitlines()]) == 24
    assert TEXT.split("{}")[1][:20] not in written
    agreement = pages.get("/school/labels").text
    assert "Agreement of" in agreement
    assert "0.00 to 0.00" in agreement


def test_the_answer_is_in_a_closed_part_and_open_once_it_is_labelled(pages: TestClient) -> None:
    first = QUEUE + "&at=1"
    page = pages.get(first).text
    shown, hidden = page.split('<details id="answer">')
    assert '"mask given gap"' in shown
    answer = hidden.split('<p class="answer"><b dir="auto">')[1].split("<")[0]
    assert answer in GOLDS
    assert answer not in shown
    reply = pages.post(first, data=fill(page, needs="given_away", missing="yes"))
    assert parse_qs(urlsplit(reply.headers["location"]).query)["at"] == ["2"]
    again = pages.get(first).text
    assert '<details id="answer" open>' in again
    chosen = {
        (attrs["name"], attrs["value"]) for tag, attrs in Tags(again).seen if tag == "input" and "checked" in attrs
    }
    assert {("needs", "given_away"), ("unit", "good"), ("missing", "yes")} <= chosen


def test_a_wrong_alias_is_kept_by_name(pages: TestClient, run: Path) -> None:
    for place in range(1, 13):
        page = pages.get(f"{QUEUE}&at={place}").text
        if "alias-1" in read_fields(page):
            pages.post(f"{QUEUE}&at={place}", data=fill(page, **{"alias-1": "wrong"}))
    label = next(iter(LabelStore(run).read().values()))
    assert (label.aliases, label.alias_codes) == ("wrong", {"Countess Byron": "ok", "Ada B.": "wrong"})


@pytest.mark.parametrize(
    ("address", "change"),
    [
        (QUEUE, {"needs": "luck"}), (QUEUE, {"unit": ""}), (QUEUE, {"missing": ""}), (QUEUE, {"mask": "nothing:1-2"}),
        (QUEUE.replace("ada", ""), {}), (QUEUE.replace("ada", "a" * 81), {}), (QUEUE.replace("seed=1", "seed=x"), {}),
        (QUEUE, {"needs": "x" * 40_000}),
    ],
)  # fmt: skip
def test_incomplete_codes_are_refused_and_nothing_is_saved(
    pages: TestClient, run: Path, address: str, change: dict[str, str]
) -> None:
    form = fill(pages.get(QUEUE).text) | change
    assert pages.post(address, data=form).status_code == 400
    assert not (run / "labels").exists()


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_other_sites_save_nothing(pages: TestClient, run: Path, headers: dict[str, str]) -> None:
    form = fill(pages.get(QUEUE).text)
    assert pages.post(QUEUE, data=form, headers=headers).status_code == 403
    assert not (run / "labels").exists()


@pytest.mark.parametrize("query", ["n=0", "n=99999999", "seed=-1", "at=0", "rater=%00", "at=x"])
def test_queues_that_cannot_be_are_client_errors(pages: TestClient, query: str) -> None:
    assert pages.get(f"/school/labels?{query}").status_code == 400


def test_after_the_end_the_first_mask_without_a_label_is_shown(pages: TestClient) -> None:
    assert "mask 1 of 12" in pages.get(f"{QUEUE}&at=13").text
    pages.post(f"{QUEUE}&at=1", data=fill(pages.get(f"{QUEUE}&at=1").text))
    assert "mask 2 of 12 · 1 labelled" in pages.get(f"{QUEUE}&at=13").text
    label_all(pages, QUEUE)
    assert "Every mask" in pages.get(f"{QUEUE}&at=13").text


def test_poison_is_inert(tmp_path: Path) -> None:
    with open_pages(make_poisoned_run(tmp_path / "harbour")) as client:
        client.get("/", params={"token": TOKEN})
        for address in ("/harbour/labels", "/harbour/labels?rater=%3Cscript%3E&at=1"):
            reply = client.get(address)
            assert reply.status_code == 200
            tags = Tags(reply.text).seen
            assert len([tag for tag, _ in tags if tag == "script"]) == 1
            assert not [tag for tag, attrs in tags if tag == "img" or any(name.startswith("on") for name in attrs)]
            assert not set(reply.text) & set("\x1b\x07\x9b\u202e\u202c")


def test_a_dataset_without_tasks_has_nothing_to_label(run: Path) -> None:
    with open_pages(run / "passages") as client:
        client.get("/", params={"token": TOKEN})
        assert client.get("/passages/labels").status_code == 400
