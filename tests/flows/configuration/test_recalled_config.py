"""The configuration of a run is restored from its ledgers, or refused with the keys that have another name now."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.configuration.recalled_config import recall_config
from pipeline.errors import ConfigError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import close_stage, open_stage
from schemas.config import RunConfig
from tests.support.export_samples import make_record

SECTIONS = [name for name, field in RunConfig.model_fields.items() if name != "name"]


def write_run(folder: Path, config: dict[str, Any], settings: dict[str, Any]) -> RunFolder:
    run = RunFolder(folder)
    run.write_record(folder / "run.json", make_record(config=config))
    open_stage(run, "chunk", {key: json.dumps(value) for key, value in settings.items()}, None)
    close_stage(run, "chunk", ())
    return run


@pytest.mark.parametrize(
    "key", ["search.http2.url", "search.k.least", "masking.limit.of.pages", "llm.retries.most", "llm.roles.judge"]
)
def test_a_setting_of_another_name_is_named(tmp_path: Path, key: str) -> None:
    run = write_run(tmp_path, RunConfig().model_dump(mode="json"), {key: 3})
    with pytest.raises(ConfigError) as refused:
        recall_config(run)
    assert ".".join(key.split(".")[:2]) in refused.value.what
    assert str(tmp_path) in refused.value.what


@given(
    st.lists(
        st.tuples(
            st.sampled_from(SECTIONS), st.lists(st.sampled_from(["k", "limit", "roles", "older", "web"]), max_size=3)
        ),
        max_size=4,
    ),
    st.sampled_from([3, "x", None, [1], {"k": 2}]),
    st.sampled_from(["", "roles", "retries"]),
)
def test_whatever_keys_a_ledger_has_the_outcome_is_a_configuration_or_one_line(
    keys: list[tuple[str, list[str]]], value: Any, lacking: str
) -> None:
    config = RunConfig().model_dump(mode="json")
    config["llm"].pop(lacking, None)
    with TemporaryDirectory() as folder:
        run = write_run(Path(folder), config, {".".join([section, *path]): value for section, path in keys})
        with suppress(ConfigError):
            recall_config(run)


def test_the_value_of_the_ledger_comes_before_that_of_the_record(tmp_path: Path) -> None:
    run = write_run(tmp_path, RunConfig().model_dump(mode="json"), {"search.k": 9, "masking.limit": 7, "file x": "y"})
    config = recall_config(run)
    assert (config.search.k, config.masking.limit) == (9, 7)
