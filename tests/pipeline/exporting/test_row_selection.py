"""Rows chosen by a condition over the attempts, and by what people marked."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.exporting.dataset import Exported
from pipeline.errors import ConfigError
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.reviews import ReviewStore
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from schemas.exports import Trainer
from schemas.funnel import Reject
from schemas.reviews import Review, ReviewMark
from tests.support.export_samples import export_sample, make_run, read_table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run") / "sample")


def read_ids(done: Exported) -> set[str]:
    return {row["id"] for file in done.files for row in read_table(done.folder / file)}


def test_a_condition_is_that_of_inspect_over_the_same_table(run: RunFolder, tmp_path: Path) -> None:
    every = read_ids(export_sample(run, tmp_path / "every", Trainer.OPENRLHF))
    done = export_sample(run, tmp_path / "some", Trainer.OPENRLHF, where="masks = 2 AND lang = 'en' -- pages of two")
    assert read_ids(done) == {
        name for name in every if name.split("-")[1] == "1" and int(name[1:].split("-")[0]) % 2 == 0
    }
    step = done.funnel[0]
    assert (step.stage, step.entered, step.passed, step.rejected) == ("selection", 48, 12, {"unselected": 36})
    rejects = [row for row in read_rows(done.folder / "rejects.parquet", Reject) if row.stage == "selection"]
    assert len(rejects) == 36
    assert "masks = 2" in (done.folder / "README.md").read_text()


@pytest.mark.parametrize("where", ["nonsense = 1", "1 = 1); SELECT 1; --", "true) UNION SELECT '", "masks ="])
def test_what_is_no_condition_is_refused(run: RunFolder, tmp_path: Path, where: str) -> None:
    with pytest.raises(InspectError):
        export_sample(run, tmp_path, Trainer.OPENRLHF, where=where)


def test_a_condition_that_nothing_matches_says_so(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unselected 48") as raised:
        export_sample(run, tmp_path, Trainer.OPENRLHF, where="masks = 4")
    assert "--where" in raised.value.fix


def test_what_people_marked_bad_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="no reviews"):
        export_sample(run, tmp_path / "none", Trainer.OPENRLHF, reviewed=True)
    every = read_ids(export_sample(run, tmp_path / "every", Trainer.OPENRLHF))
    bad, good = sorted(every)[:2]
    for name, mark in ((bad, ReviewMark.BAD), (good, ReviewMark.GOOD)):
        ReviewStore(run.root).save(
            Review(trajectory_id=name, mark=mark, note="", reviewer="", at="2026-01-01T00:00:00Z")
        )
    done = export_sample(run, tmp_path / "some", Trainer.OPENRLHF, reviewed=True)
    assert read_ids(done) == every - {bad}
    assert done.funnel[0].rejected == {"marked_bad": 1}
