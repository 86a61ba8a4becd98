"""Labels of masks: the sample, the codes, the store, and their join with a corpus that has changed or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.labelling.agreement import compare_raters
from pipeline.labelling.codes import read_codes
from pipeline.labelling.labelled_passages import join_labels, read_labels
from pipeline.labelling.queue import QueuedMask, Select, list_masks, read_masks
from pipeline.labelling.store import LabelStore, select_raters
from schemas.mask_labels import MaskCodes, MaskLabel
from schemas.passages import Passage
from schemas.tasks import MaskTask
from tests.support.label_samples import CODES, make_passage, make_tasks, open_sample, write_codes

AT = "2026-01-02T03:04:05+00:00"


@pytest.fixture(scope="module")
def tasks() -> list[MaskTask]:
    return make_tasks(30)


@pytest.fixture(scope="module")
def select(tasks: list[MaskTask], tmp_path_factory: pytest.TempPathFactory) -> Select:
    return open_sample(tmp_path_factory.mktemp("run"), tasks)


def label(select: Select, count: int, rater: str, **codes: Any) -> list[MaskLabel]:
    return [label_one(queued, rater, **codes) for queued in read_masks(select, list_masks(select, 1, count))]


def label_one(queued: QueuedMask, rater: str, **codes: Any) -> MaskLabel:
    aliases = dict.fromkeys(queued.span.aliases, "ok")
    return queued.label(MaskCodes.model_validate({**CODES, "alias_codes": aliases, **codes}), rater, AT)


def find(tasks: Sequence[MaskTask], **change: Any) -> Any:
    passages = {task.passage_id: make_passage(task, **change) for task in tasks}
    return lambda ids: [passages[one] for one in ids if one in passages]


def test_a_sample_is_seeded_and_grows_at_its_end(select: Select, tasks: list[MaskTask]) -> None:
    masks = list_masks(select, 7, 20)
    assert masks == list_masks(select, 7, 25)[:20]
    assert masks != list_masks(select, 8, 20)
    everything = list_masks(select, 7, 10_000)
    assert len(set(everything)) == len(everything) == sum(task.mask_count for task in tasks)
    first = next(read_masks(select, masks))
    assert first.text.count("[?]") == 1
    assert first.span.text not in first.text


def test_codes_become_labels_without_text(select: Select, tmp_path: Path, tasks: list[MaskTask]) -> None:
    queue = list(read_masks(select, list_masks(select, 1, 12)))
    labels = read_codes(write_codes(tmp_path / "codes.jsonl", queue), select, "ada", AT)
    assert [one.mask for one in labels] == [one.name for one in queue]
    assert LabelStore(tmp_path).save(labels) == 0
    written = (tmp_path / "labels" / "masks.jsonl").read_text()
    assert len(written.splitlines()) == 12
    assert not any(task.title not in ("", *task.section) and task.masked_text[:20] in written for task in tasks)
    assert not any(f'"{queued.span.text}"' in written for queued in queue)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"mask": "nothing:1-2"}, "no mask"), ({"needs": "luck"}, "needs"), ({"unit": None}, "unit"),
        ({"alias_codes": {"other": "ok"}}, "alias_codes"), ({"aliases": "wrong", "alias_codes": {}}, "alias_codes"),
        ({"aliases": "wrong"}, "exactly"), ({"note": "x"}, "note"),
    ],
)  # fmt: skip
def test_codes_that_fit_no_mask_are_refused_by_line(select: Select, tmp_path: Path, change: Any, word: str) -> None:
    queue = [one for one in read_masks(select, list_masks(select, 1, 20)) if one.span.aliases][:3]
    path = write_codes(tmp_path / "codes.jsonl", queue)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "", json.dumps(json.loads(lines[1]) | change)]))
    with pytest.raises(ConfigError, match=f"line 3: .*{word}"):
        read_codes(path, select, "ada", AT)


@pytest.mark.parametrize("lines", [(0, 0), ()])
def test_a_mask_is_coded_once_and_a_file_holds_codes(select: Select, tmp_path: Path, lines: Sequence[int]) -> None:
    path = write_codes(tmp_path / "codes.jsonl", list(read_masks(select, list_masks(select, 1, 1))))
    path.write_text("".join(path.read_text() for _ in lines))
    with pytest.raises(ConfigError):
        read_codes(path, select, "ada", AT)


@pytest.mark.parametrize("rater", ["", "  ", "a\u2028b", "a\nb", "a" * 81])
def test_raters_have_names(select: Select, tmp_path: Path, rater: str) -> None:
    codes = write_codes(tmp_path / "codes.jsonl", list(read_masks(select, list_masks(select, 1, 2))))
    with pytest.raises(ConfigError):
        read_codes(codes, select, rater, AT)
    assert {label.rater for label in read_codes(codes, select, " Ada L. ", AT)} == {"Ada L."}


def test_labels_of_many_writers_are_all_kept_and_the_last_counts(select: Select, tmp_path: Path) -> None:
    labels = [one for rater in "abcd" for one in label(select, 6, rater)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: LabelStore(tmp_path).save([one]), labels))
    assert set(LabelStore(tmp_path).read()) == {(one.rater, one.mask) for one in labels}
    assert LabelStore(tmp_path).save(label(select, 2, "a", needs="given_away")) == 2
    stored = LabelStore(tmp_path).read()
    assert len(stored) == 24
    assert sum(one.needs == "given_away" for one in stored.values()) == 2
    with pytest.raises(ConfigError):
        select_raters(stored.values(), ["nobody"])


def test_a_damaged_file_is_named_and_left_alone(select: Select, tmp_path: Path) -> None:
    store = LabelStore(tmp_path)
    store.save(label(select, 2, "a"))
    torn = store.path.read_bytes()[:-30]
    store.path.write_bytes(torn)
    with pytest.raises(ConfigError, match="line 2"):
        store.save(label(select, 3, "b"))
    assert store.path.read_bytes() == torn


def test_labels_are_joined_with_the_text_that_was_read(select: Select, tmp_path: Path, tasks: list[MaskTask]) -> None:
    LabelStore(tmp_path).save([*label(select, 12, "ada"), *label(select, 10, "ben", needs="general_knowledge")])
    path = LabelStore(tmp_path).path
    joined = read_labels(path, find(tasks))
    masks = [(passage, mask) for passage in joined.passages for mask in passage.masks]
    assert (len(masks), joined.lost) == (12, 0)
    assert all(mask.text == passage.text[mask.start : mask.end] for passage, mask in masks)
    assert sum(mask.second_rater is not None for _, mask in masks) == 10
    assert {mask.needs for _, mask in masks} == {"search"}
    changed = Passage.model_validate(make_passage(tasks[0]).model_dump() | {"text": "other"})
    assert join_labels(label_all(tasks), lambda ids: [changed]).lost == sum(task.mask_count for task in tasks)
    with pytest.raises(ConfigError):
        read_labels(path, lambda ids: [])
    LabelStore(tmp_path).save(label(select, 1, "eve"))
    with pytest.raises(ConfigError, match="3 raters"):
        read_labels(path, find(tasks))


def label_all(tasks: Sequence[MaskTask]) -> list[MaskLabel]:
    return [label_one(QueuedMask(task, number), "a") for task in tasks for number in range(task.mask_count)]


def test_agreement_is_of_the_masks_that_both_labelled(select: Select) -> None:
    first, second = label(select, 20, "ada"), label(select, 12, "ben", needs="general_knowledge")
    ((one, other, codes),) = compare_raters([*first, *second[:9], *label(select, 12, "ben")[9:]])
    found = {code.code: code for code in codes}
    assert (one, other, found["needs"].masks, found["needs"].equal) == ("ada", "ben", 12, 3)
    assert found["needs"].kappa.value == 0
    assert (found["unit"].equal, found["unit"].kappa.value) == (12, None)
    assert not list(compare_raters(first))
