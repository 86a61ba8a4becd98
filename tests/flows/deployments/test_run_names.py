"""A deployed flow finds its folder again, whenever and wherever it is started."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.deployments.run_names import PLACES, find_newest, name_run
from pipeline.errors import ConfigError, StorageError
from pipeline.storage.ledger_files import encode_record
from pipeline.storage.run_folder import RunFolder
from schemas.ledger import StageManifest

MOMENT = datetime(2026, 11, 21, 2, 3, 4, tzinfo=UTC)


@given(
    st.datetimes(timezones=st.just(UTC)), st.lists(st.sampled_from([f"{{{place}}}" for place in PLACES]), max_size=3)
)
def test_a_name_follows_from_the_moment_alone_and_is_one_folder(moment: datetime, places: list[str]) -> None:
    name = name_run("-".join(["corpus", *places]), moment)
    assert name == name_run("-".join(["corpus", *places]), moment)
    assert Path(name).name == name
    assert "{" not in name


def test_places_are_written_so_that_names_sort_by_time() -> None:
    assert name_run("corpus-{date}-{time}", MOMENT) == "corpus-2026-11-21-020304"
    assert name_run("w{week}", MOMENT) == "w2026-W47"


@pytest.mark.parametrize("pattern", ["corpus-{day}", "corpus-{", "a/b", "", "..", "x/"])
def test_a_pattern_that_makes_no_folder_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError) as raised:
        name_run(pattern, MOMENT)
    assert raised.value.fix


def finish(run: Path, stage: str) -> None:
    path = run / "ledger" / stage / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_record(StageManifest(stage=stage, settings={}, upstream=None, shards=())))


def test_the_newest_run_that_is_ready_is_taken(tmp_path: Path) -> None:
    out = str(tmp_path)
    with pytest.raises(StorageError, match="no run"):
        find_newest(out, "corpus-*", "tasks")
    (tmp_path / "corpus-2026-11-21").mkdir()
    with pytest.raises(StorageError, match="none has finished tasks"):
        find_newest(out, "corpus-*", "tasks")
    for day in ("07", "14"):
        finish(tmp_path / f"corpus-2026-11-{day}", "tasks")
    finish(tmp_path / "other", "tasks")
    assert find_newest(out, "corpus-*", "tasks").root == RunFolder(tmp_path / "corpus-2026-11-14").root
    assert find_newest(out, "other", "tasks").root.name == "other"
