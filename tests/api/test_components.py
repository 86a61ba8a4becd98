"""Functions of the user's own: they work in worker processes, and are told apart by the source of their module."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import rampforge
from flows import trainer_rewards
from flows.distillation.plan import find_lacks
from flows.training.run import identify_reward
from pipeline.components import identify_component, load_component
from pipeline.judging.custom_judge_stage import JudgeFunctionError, call_judge
from pipeline.masking.custom_spans import ExtractorError, call_extractor
from pipeline.rewards.trainers import make_trl_reward
from pipeline.training.launching import copy_source
from schemas.distill_config import ReinforcementConfig
from schemas.judgements import Judgement
from schemas.renderings import RenderingName
from schemas.tasks import SpanSet
from schemas.training import RlRequest
from schemas.trajectories import SearchStatus, Trajectory
from tests.api.conftest import LIGHT
from tests.support.chat_servers import make_config, reply, serve
from tests.support.passage_samples import make_passage
from tests.support.reward_samples import GOLDS, make_asked, make_transcript, write_completion
from tests.support.scripted_http import Said
from tests.support.user_scripts import run_script

MINE = """
def extract(text, title, lang):
    at = text.find("forty families")
    return [(at, at + 14, "term")] if at >= 0 else []

def judge(answer, golds, text):
    if "inhabitants" in text:
        raise RuntimeError("it has no opinion")
    return answer in golds

def open_engine():
    def search(query, k):
        if "families" in query:
            raise RuntimeError("it cannot say")
        return [{"title": "Elbe", "text": f"The Elbe is no answer to {query}."}]
    return search

def reward(completion, answers, golds, question):
    return 0.25 if answers[0] in golds[0] else 0.0

value = 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my_parts.py"
    path.write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)
    return path


def test_they_work_in_worker_processes(
    project: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    copy = shutil.copytree(project / "outputs" / "pilot", tmp_path / "copy")
    settings = {
        **{"masking.extractor_function": "my_parts:extract"},
        **{"judging.judge": "custom", "judging.function": "my_parts:judge"},
        **{"search.engine": "custom", "search.function": "my_parts:open_engine"},
    }
    run = rampforge.resume(copy, settings=settings, redo="spans")
    sources = {span.source for row in run.records("spans") if isinstance(row, SpanSet) for span in row.spans}
    assert "custom" in sources
    judgements = [row for row in run.records("judgements") if isinstance(row, Judgement)]
    assert {row.judge for row in judgements} == {"my_parts:judge"}
    failed = [row for row in judgements if row.reject_reason == "judge_failed"]
    assert all(row.verdict is rampforge.Verdict.ERROR for row in failed)
    trajectories = [row for row in run.records("trajectories") if isinstance(row, Trajectory)]
    calls = [call for row in trajectories for turn in row.turns for call in turn.calls]
    assert SearchStatus.OK in {call.status for call in calls}
    assert {row.engine for row in trajectories} == {rampforge.Search(run).fingerprint}
    assert rampforge.Search(run).ask("where")[0].title == "Elbe"
    mine.write_text(f"{MINE}# changed\n")
    for stage, key in ("judgements", "judging.function"), ("trajectories", "search.function"), ("spans", "extractor"):
        with pytest.raises(rampforge.ConfigError, match=key):
            rampforge.resume(copy, stages=[stage])


def test_what_identifies_a_function(mine: Path) -> None:
    before = identify_component("judging.function", "my_parts:judge")
    assert before.startswith("my_parts:judge sha256 ")
    mine.write_text(f"{MINE}# changed\n")
    assert identify_component("judging.function", "my_parts:judge") != before


@pytest.mark.parametrize(
    "said", ["my_parts:nothing", "my_parts:value", "no_such_module:f", "__main__:f", "f", "broken:f"]
)
def test_what_cannot_be_imported_is_named(mine: Path, said: str) -> None:
    (mine.parent / "broken.py").write_text("1 / 0\n")
    with pytest.raises(rampforge.ConfigError, match=r"judging\.function"):
        load_component("judging.function", said)


@pytest.mark.parametrize("returned", [None, "yes", 1])
def test_a_judge_that_gives_no_verdict_fails(returned: object) -> None:
    with pytest.raises(JudgeFunctionError):
        call_judge(lambda *_: returned, "a", ("a",), "")  # type: ignore[arg-type]


@pytest.mark.parametrize("returned", [3, [(0, 2)], [(0, 99_999, "term")], [(0, 2, "verb")], [(0.0, 2, "term")]])
def test_an_extractor_that_gives_no_spans_fails(returned: object) -> None:
    with pytest.raises(ExtractorError):
        call_extractor(lambda *_: returned, make_passage(1, "One two three.", 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"search.engine": "custom", "search.function": "my_parts:nothing"},
        {"search.engine": "custom", "search.function": "my_parts:extract"},  # needs arguments
        {"search.engine": "custom", "search.function": "builtins:list"},  # returns something that is not a function
        {"search.engine": "custom"},
        {"judging.judge": "custom", "judging.function": "my_parts:nothing"},
        {"masking.extractor_function": "no_such_module:extract"},
    ],
)
def test_a_session_does_not_start_without_them(mine: Path, project: Path, settings: dict[str, str]) -> None:
    key = (settings.get("search.engine") and "search") or (settings.get("judging.judge") and "judging") or "masking"
    out = mine.parent / "outputs"
    with pytest.raises(rampforge.ConfigError, match=rf"{key}[.:]"):
        rampforge.run(project / "dump.xml.bz2", LIGHT, settings=settings, out=out)
    assert not list(out.rglob("*.parquet"))


def test_a_reward_pays_and_reaches_the_trainer(mine: Path, tmp_path: Path) -> None:
    asked = make_asked(RenderingName.SEARCH_R1)
    right = write_completion(asked, make_transcript([GOLDS["en"][0][0]]))
    give = make_trl_reward("my_parts:reward")
    assert (give.__name__, give([""], [right], golds=[asked.golds], question=[asked.question])) == (
        "reward_reward",
        [0.25],
    )
    score = trainer_rewards.compute_score("w", str(right), asked.golds, reward="my_parts:reward")
    assert (score["score"], score["acc"], score["valid"]) == (0.25, 1.0, 1.0)
    rollouts = {"search": {"url": "http://127.0.0.1:1"}, "reward": "my_parts:reward"}
    request = RlRequest.model_validate({"base": "m", "data": "d", "output": "o", "rollouts": rollouts})
    copy_source(tmp_path / "source", identify_reward(request))
    script = "from pipeline.rewards.trainers import make_trl_reward; print(make_trl_reward('my_parts:reward').__name__)"
    code, output = run_script(tmp_path / "source", script, path=[tmp_path / "source"])
    assert (code, output) == (0, "reward_reward\n")
    before = identify_reward(request).rollouts.reward_source
    mine.write_text(f"{MINE}# changed\n")
    assert identify_reward(request).rollouts.reward_source != before


@pytest.mark.parametrize("reward", ["my_parts:extract", "my_parts:open_engine", "builtins:len"])
def test_a_reward_that_fails_is_not_a_zero(mine: Path, reward: str) -> None:
    asked = make_asked(RenderingName.SEARCH_R1)
    right = write_completion(asked, make_transcript([GOLDS["en"][0][0]]))
    assert make_trl_reward(reward)([""], [right], golds=[asked.golds]) == [None]
    assert trainer_rewards.compute_score("w", str(right), asked.golds, reward=reward)["valid"] == 0.0
    gamed = f"{right}<answer>{GOLDS['en'][0][0]}</answer>"
    assert make_trl_reward(reward)([""], [gamed], golds=[asked.golds]) == [0.0]


def test_what_is_not_a_reward_is_named(mine: Path) -> None:
    with pytest.raises(rampforge.ConfigError, match="reward"):
        make_trl_reward("my_parts:nothing")
    for values in ({"reward": "f2"}, {"reward": "my_parts:"}):
        with pytest.raises(ValidationError, match="no reward"):
            ReinforcementConfig.model_validate(values)
    student = {"enabled": True, "rl": {"steps": 1, "reward": "my_parts:nothing"}}
    config = rampforge.RunConfig.model_validate({"distill": {"rounds": 0, "student": student}})
    assert any("distill.student.rl.reward" in error.what for error in find_lacks(config))


def test_a_model_judges() -> None:
    def chat(body: dict[str, Any]) -> Said:
        right = "the lady of the north" in str(body["messages"])
        return reply(json.dumps({"reason": "It is so.", "verdict": "correct" if right else "incorrect"}))

    with serve(chat) as server:
        judge = rampforge.Judge(make_config(f"{server.url}/v1"))
        given = [
            rampforge.GivenAnswer(answer, ["Marguerite Ollander"], "Who stood there?")
            for answer in ("Marguerite Ollander", "the lady of the north", "a keeper of goats")
        ]
        verdicts = judge.judge_all(given)
    assert [one.verdict.value for one in verdicts] == ["correct", "correct", "incorrect"]
    assert [one.judge for one in verdicts] == ["rules", "m", "m"]
    assert verdicts[1].reason == "It is so."
    with pytest.raises(rampforge.RampforgeError):  # the server is gone
        judge.judge("the lady of the north", ["Marguerite Ollander"])


def test_a_custom_judge_is_called_by_hand(mine: Path) -> None:
    judge = rampforge.Judge({"judging": {"judge": "custom", "function": "my_parts:judge"}})
    assert judge.judge("Elbe", ["Elbe"]).correct
    assert judge.judge("Elbe", ["Elbe"], "inhabitants").verdict is rampforge.Verdict.ERROR
