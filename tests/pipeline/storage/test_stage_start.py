"""What a stage was started with: when it binds, and which differences are named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import find_differences, open_stage
from schemas.ledger import StageStart


def test_a_stage_of_which_nothing_is_on_record_adopts_the_configuration(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    open_stage(run, "demo", {"masking.scorer": '"typo"'}, None, {"torch": "1"})
    run.journal("demo", "000").parent.mkdir(parents=True)
    run.journal("demo", "000").touch()
    open_stage(run, "demo", {"masking.scorer": '"mended"'}, "abc", {"torch": "2"})
    started = StageStart(settings={"masking.scorer": '"mended"'}, upstream="abc", versions={"torch": "2"})
    assert run.start("demo") == started
    run.journal("demo", "000").write_text("a finished outcome")
    with pytest.raises(ConfigError, match=r"masking.scorer was \"mended\", now \"other\""):
        open_stage(run, "demo", {"masking.scorer": '"other"'}, "abc")


def start_of(settings: Mapping[str, str], **versions: str) -> StageStart:
    return StageStart(settings=dict(settings), upstream=None, versions=versions)


def test_differences_name_keys_and_no_models_that_come_with_them() -> None:
    then = start_of({"masking.scorer": '"a"', "model a": "a 1", "seed": "0"}, rampforge="1")
    now = {"masking.scorer": '"b"', "model b": "b 1", "seed": "0"}
    assert find_differences(then, now, partial=True) == {"masking.scorer": ('"a"', '"b"')}
    assert find_differences(then, {**then.settings, "model a": "a 2"}, partial=True) == {"model a": ("a 1", "a 2")}


def test_a_key_that_did_not_exist_then_stood_for_its_default() -> None:
    then = start_of({"search.k": "3"}, rampforge="1")
    assert find_differences(then, {"search.k": "3", "search.k1": "1.2"}, partial=True) == {}
    assert find_differences(then, {"search.k": "3", "search.k1": "1.3"}, partial=True) == {"search.k1": (None, "1.3")}
