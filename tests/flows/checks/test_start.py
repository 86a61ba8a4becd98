"""What stands in the way of a run is told before its first page, all at once, with the cause and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.checks.findings import Finding, State, join_fixes, require
from flows.models.hub import find_on_hub
from pipeline.errors import AssetError, ConfigError
from tests.support.chat_servers import DEAD
from tests.support.command_line import rampforge
from tests.support.sample_dump import write_dump
from tests.support.scripted_http import Said, ScriptedHttp


def test_everything_missing_is_reported_at_once() -> None:
    assets = ["enwiki-sample", "en_core_web_sm", "smollm2-135m-instruct"]
    lacks = [Finding(name, State.FAIL, "is missing", f"rampforge assets get {name}") for name in assets]
    with pytest.raises(ConfigError) as caught:
        require([*lacks, Finding("disk", State.OK, "fine")])
    assert all(name in caught.value.what for name in assets)
    assert caught.value.fix == "rampforge assets get demo"
    assert join_fixes(lacks[:1]) == "rampforge assets get enwiki-sample"
    other = Finding("role", State.FAIL, "is missing", "set llm.roles.judge.model")
    assert join_fixes([*lacks, other]).startswith("rampforge assets get demo; then")
    require([Finding("disk", State.WARN, "low")])


@pytest.mark.parametrize(
    ("status", "found"), [(200, True), (302, True), (307, True), (401, False), (404, False), (500, False)]
)
def test_the_hub_gets_one_request(status: int, found: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with ScriptedHttp(lambda request, body, count: Said(status)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        if found:
            assert "downloaded" in find_on_hub("org/model", "fix")
        else:
            with pytest.raises(AssetError):
                find_on_hub("org/model", "fix")
        assert len(hub.asked) == 1


def test_a_hub_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(AssetError, match="does not answer"):
        find_on_hub("org/model", "fix")


def test_a_refused_start_names_everything_and_writes_nothing(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home"), "RAMPFORGE_CACHE": str(tmp_path / "cache")}
    environment |= {"HF_ENDPOINT": "http://127.0.0.1:9", "PREFECT_HOME": str(tmp_path / "prefect")}
    (tmp_path / "home").mkdir()
    dump = str(write_dump(tmp_path / "towns.xml.bz2", towns=4))
    wrong = ["masking.scorer=smollm3", "masking.ner=en_core_web_lg", "agents.policy=agents"]
    wrong += ['llm.roles={default: {model: "m"}}', f'llm.endpoints={{one: {{url: "{DEAD}"}}}}']
    words = [word for one in wrong for word in ("--set", one)]
    code, output = rampforge(environment, "run", dump, "--out", str(tmp_path / "out"), "--name", "run", *words)
    assert code == 1
    assert output.splitlines()[0].startswith("starting ")
    for subject in ("smollm3", "en_core_web_lg", "endpoint one", "masking.scorer=null"):
        assert subject in output
    assert not (tmp_path / "out").exists()
    code, output = rampforge(environment, "run", dump, "--out", str(tmp_path / "out"), *words, "--set", "llm.roles={}")
    assert code == 1
    assert "no model plays the role planner" in output
    assert "en_core_web_lg" in output
    code, output = rampforge(environment, "run", "--config", "demo", "--out", str(tmp_path / "out"))
    assert code == 1
    assert "next:  rampforge assets get demo" in output
    assert not (tmp_path / "out").exists()
