"""Configuration: YAML, overrides, unknown keys; every key explained; what is printed can be read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from flows.configuration import describe_keys, list_presets, load_config, write_yaml
from flows.quotas import share_out
from pipeline.errors import ConfigError
from pipeline.storage.stage_ledger import pick_settings
from schemas import config as config_module
from schemas.config import JudgingConfig, RunConfig


@pytest.mark.parametrize("preset", list_presets())
def test_presets_load_and_print_to_what_they_are(preset: str, tmp_path: Path) -> None:
    config = load_config(preset)
    printed = tmp_path / "printed.yaml"
    printed.write_text(write_yaml(config))
    assert load_config(str(printed)) == config


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("search: {k: 3}\nmasking: {limit: 10}\n")
    config = load_config(str(path), ["search.k=7", "masking.mask_counts=[1, 2]", "masking.ner=null", "seed=4"])
    assert (config.search.k, config.masking.limit, config.masking.mask_counts) == (7, 10, (1, 2))
    assert config.masking.ner is None
    assert config.seed == 4


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("serch: {k: 3}", [], r"unknown key serch"),
        ("search: {kk: 3}", [], r"unknown key search\.kk \(did you mean search\.k"),
        ("search: {k: 0}", [], r"search\.k: .*greater than or equal to 1"),
        ("- a\n- b", [], "mapping of sections"),
        ("a: [", [], "not YAML"),
        ("", ["search.k"], "no value"),
        ("", ["seed.x=1", "seed.x.y=2"], "is no section"),
        ("masking: {scorer: null}", [], "need a scorer"),
        ("masking: {min_perplexity: 9, max_perplexity: 3}", [], "below max_perplexity"),
    ],
)
def test_faults_are_named(text: str, overrides: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(str(path), overrides)


def test_missing_file_names_the_presets() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("no-such-file.yaml")
    assert "demo" in caught.value.fix


def test_every_key_has_its_sentence() -> None:
    keys = describe_keys(RunConfig)
    assert len(keys) > 30
    assert not [key for key, sentence in keys.items() if not sentence.endswith(".")]


def test_every_section_is_frozen_and_closed() -> None:
    models = [m for m in vars(config_module).values() if isinstance(m, type) and issubclass(m, BaseModel)]
    assert all(m.model_config.get("frozen") and m.model_config.get("extra") == "forbid" for m in models)


def test_settings_take_sections_and_single_keys() -> None:
    settings = pick_settings(RunConfig(), ("seed", "search.k", "judging"))
    assert settings["seed"] == "0"
    assert settings["search.k"] == "3"
    whole = {key for key in settings if key.startswith("judging.")}
    assert whole == {f"judging.{name}" for name in JudgingConfig.model_fields}
    assert pick_settings(RunConfig(), ("seed",)) == pick_settings(load_config(None, ["execution.workers=7"]), ("seed",))
    elsewhere = load_config(None, ["search.dense.device=cpu", "search.dense.batch=7"])
    assert pick_settings(RunConfig(), ("search",)) == pick_settings(elsewhere, ("search",))
    assert "search.dense.encoder" in pick_settings(RunConfig(), ("search",))


@pytest.mark.parametrize(("total", "weights"), [(10, [1, 1, 1]), (7, [5, 0, 2, 9]), (3, [1] * 10), (0, [4]), (5, [0])])
def test_shares_add_up_and_follow_the_weights(total: int, weights: list[int]) -> None:
    shares = share_out(total, weights)
    assert sum(shares) == (total if sum(weights) else 0)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - total * weight / max(1, sum(weights))) < 1
