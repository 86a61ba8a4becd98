"""Configuration: YAML, overrides, unknown keys; every key explained; what is printed can be read back."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from flows.configuration.run_config import describe_keys, list_presets, load_config, write_yaml
from flows.stages.inputs import share_out
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
        ("", ["seed.x=1", "seed.x.y=2"], "is not a section"),
        ("masking: {scorer: null, selection: perplexity}", [], "needs a scorer"),
        ("masking: {min_surprisal: 9, max_surprisal: 3}", [], "below max_surprisal"),
        ("selection: perplexity", [], r"did you mean masking\.selection\?"),
        ("", ["selection=perplexity"], r"did you mean masking\.selection\?"),
        ("", ["temperature=1"], r"did you mean agents\.temperature or .*judging\.temperature"),
        ("search: {hide: passage}", [], r"search\.hide: should be a list, such as \[passage\]"),
        ("corpus: 5", [], "corpus: should be a section"),
        ("seed: 99999999999999999999", [], "seed: .*64 bits"),
        ("seed: '99999999999999999999'", [], "seed: .*64 bits"),
        ("", ["seed=-99999999999999999999"], "seed: .*64 bits"),
        ("seed: " + "9" * 5000, [], "4,300 digits"),
        ("{1: 2}", [], "key 1 is not text"),
        ("", ["llm.roles={1: 2}"], r"llm\.roles: the key 1 is not text"),
        ("a: &a [*a]", [], "anchor"),
        ("a: &a {b: *a}", [], "anchor"),
        ("a: " + "[" * 2000 + "]" * 2000, [], "nested"),
        ("", ["seed=" + "[" * 2000 + "]" * 2000], "nested"),
        ("", ["llm.roles." + "x." * 2000 + "y=3"], "nested"),
        ("execution: {memory_gb: .inf}", [], "memory_gb: inf is not a finite number"),
        ("seed: 2026-13-45", [], "date"),
        ('masking: {ner: "\\ud800"}', [], "half a character"),
        ("seed: !!binary aGVsbG8=", [], "bytes"),
        ('search: {"a\\nb": 1}', [], r"unknown key search\.a b"),
    ],
)
def test_faults_are_named(text: str, overrides: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(str(path), overrides)
    assert "Value error" not in caught.value.what
    assert len(caught.value.what) < 500
    assert "\n" not in caught.value.what


def test_aliases_that_stand_for_billions_of_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "laughs.yaml"
    levels = (f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10))
    path.write_text("\n".join(["a0: &a0 [1]", *levels]))
    with pytest.raises(ConfigError, match="more than 100,000 values"):
        load_config(str(path))


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*RunConfig.model_fields, "other"]) | st.integers(), YAML_VALUES, max_size=3))
def test_whatever_yaml_holds_is_a_configuration_or_one_line(values: dict[object, object]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.yaml"
        path.write_text(yaml.dump(values, allow_unicode=True), "utf-8", "surrogatepass")
        said = load_or_say(path)
    if isinstance(said, str):
        assert said
        assert "\n" not in said
    else:
        assert RunConfig.model_validate_json(said.model_dump_json()) == said


def load_or_say(path: Path) -> RunConfig | str:
    try:
        return load_config(str(path))
    except ConfigError as error:
        return error.what


def test_one_source_needs_no_list() -> None:
    assert load_config(None, ["corpus.sources=pages"]).corpus.sources == ("pages",)


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
