"""A folder of the user's own templates: it replaces ours by name, and its digests go into rows and fingerprints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import rampforge
from flows.configuration.prompt_folder import digest_prompts, use_prompts
from prompts.library import FOLDER, digest_templates, load_template, load_words, use_folder
from schemas.config import StageName
from schemas.trajectories import Trajectory


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "templates"
    folder.mkdir()
    yield folder
    use_folder(None)


def make_config(folder: Path) -> rampforge.RunConfig:
    return rampforge.RunConfig.model_validate({"prompts": {"folder": str(folder)}})


def test_rows_and_fingerprints_contain_its_digest(project: Path, own: Path, tmp_path: Path) -> None:
    text = (FOLDER / "extractive_plan.en.md").read_text()
    (own / "extractive_plan.en.md").write_text(text.replace("span", "stretch"))
    copy = shutil.copytree(project / "outputs" / "pilot", tmp_path / "copy")
    run = rampforge.resume(
        copy, settings={"prompts.folder": own}, redo="trajectories", stages=["trajectories", "judgements"]
    )
    digest = run.record.prompts["extractive_plan.en"]
    assert digest != digest_templates()["extractive_plan.en"]
    for row in run.records("trajectories"):
        assert isinstance(row, Trajectory)
        assert digest in {use.digest for use in row.prompts}
    (own / "extractive_plan.en.md").write_text(text.replace("span", "place"))
    with pytest.raises(rampforge.ConfigError, match="prompts"):
        rampforge.resume(copy, stages=["trajectories"])


def test_a_stage_is_bound_by_its_own_templates(own: Path) -> None:
    shutil.copy(FOLDER / "judge_answer.en.md", own)
    config = make_config(own)
    assert digest_prompts(config, StageName.JUDGEMENTS)
    assert not digest_prompts(config, StageName.TRAJECTORIES)
    assert not digest_prompts(config, StageName.SPANS)


def test_templates_fall_back_to_ours(own: Path) -> None:
    (own / "plan.zh.md").write_text((FOLDER / "plan.zh.md").read_text() + "!")
    use_prompts(make_config(own))
    assert load_template("plan", "zh-hant").phrasings[0].endswith("!")
    assert load_template("plan", "en").digest == digest_templates()["plan.en"]
    use_prompts(rampforge.RunConfig())
    assert not load_template("plan", "zh").phrasings[0].endswith("!")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.fr.md", "Plan."),
        ("plan.en.txt", "Plan."),
        ("plan.en.md", "Plan."),
        ("judge_answer.en.md", "{page} {text} {number} {gold} {answer} {mood}"),
        ("agent_words.en.md", "nothing: at all"),
    ],
)
def test_what_is_not_a_template_is_named(own: Path, name: str, text: str) -> None:
    (own / name).write_text(text)
    with pytest.raises(rampforge.ConfigError, match=name):
        rampforge.run("dump.xml", settings={"prompts.folder": own})


def test_labels_keep_their_keys(own: Path) -> None:
    shutil.copy(FOLDER / "agent_words.en.md", own)
    use_prompts(make_config(own))
    assert load_words("agent_words", "en")
    with pytest.raises(rampforge.ConfigError):
        use_prompts(make_config(own / "nowhere"))
