"""Rewards as TRL and verl call them, the judge behind a real server that misbehaves, and the penalty on length."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import trainer_rewards
from pipeline.errors import ConfigError
from pipeline.llm.chat_model import EndpointError
from pipeline.rewards.formulas import Assessed, RewardInput, assess
from pipeline.rewards.judge_reward import JudgeReward, make_question, open_judge
from pipeline.rewards.overlong import penalise_length
from pipeline.rewards.trainers import make_trl_overlong, make_trl_reward, read_row
from pipeline.training.launching import copy_source
from schemas.renderings import RenderingName
from schemas.rewards import JudgeEndpoint, RewardName
from tests.support.fault_server import FaultServer, prompt_of
from tests.support.reward_samples import GOLDS, make_asked, make_transcript, write_completion, write_gold
from tests.support.scripted_http import Said, ScriptedHttp
from tests.support.scripted_roles import RoleModel, by_role, write

RIGHT, WRONG = write(reason="Same.", verdict="correct"), write(reason="Other.", verdict="incorrect")
SITES = [folder for folder in sys.path if folder and "python3" in folder]
"""Where the interpreter finds its own modules and installed packages."""
WORDS = "the lady of the north"
"""An answer that no rule settles."""


def make_item(answer: str | None = WORDS, lang: str = "en") -> tuple[RewardInput, Assessed]:
    asked = make_asked(RenderingName.SEARCH_R1, lang)
    return asked, assess(asked, write_completion(asked, make_transcript([answer])))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.answer = lambda body: {"content": RIGHT}
        yield server


@pytest.fixture
def judge(server: FaultServer) -> Iterator[JudgeReward]:
    judge = open_judge(JudgeEndpoint(url=server.url, model="m", tries=2, max_wait=0.01, deadline=5), {})
    yield judge
    judge.close()


def test_verdicts_come_in_batches_and_are_kept(server: FaultServer, judge: JudgeReward) -> None:
    server.answer = lambda body: {"content": RIGHT if WORDS in prompt_of(body) else WRONG}
    items = [make_item(), make_item(), make_item("Henrik Vale"), make_item(GOLDS["en"][0][1]), make_item("!")]
    assert judge.judge(items) == [(True,), (True,), (False,), (True,), (False,)]
    assert len(server.bodies) == 3
    assert judge.judge(items) == judge.judge(items[::-1])[::-1]
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    "fault", ["500", "429 soon", "reset", "malformed", "401", "404", "overflow", "filter", "wrong"]
)
def test_a_fault_of_the_judge_is_no_zero(server: FaultServer, judge: JudgeReward, fault: str) -> None:
    broken = True
    server.cue = lambda body, count: fault if broken and "Vale" in prompt_of(body) else "ok"
    if fault == "429 soon":
        server.cue = lambda body, count: "429 soon" if count == 1 else "ok"
    asked = make_asked(RenderingName.SEARCH_R1)
    rows = [write_completion(asked, make_transcript([a])) for a in ("Henrik Vale", WORDS, "Vale or Ollander")]
    reward = make_trl_reward(RewardName.JUDGE, lambda: judge)
    columns = {"golds": [asked.golds] * 3, "question": [asked.question] * 3}
    lost, right, gamed = reward(prompts=[""] * 3, completions=rows, **columns)
    assert gamed == 0.0
    assert lost == (1.0 if fault == "429 soon" else None)
    assert right == 1.0 or fault in ("401", "404")  # these close the server to all
    broken = False
    assert reward([""] * 3, rows, **columns) == [1.0, 1.0, 0.0]


def test_what_cannot_be_read_is_no_verdict(server: FaultServer, judge: JudgeReward) -> None:
    server.answer = lambda body: {"content": "It is correct, I would say."}
    assert judge.judge([make_item()]) == [(None,)]
    server.answer = lambda body: {"content": write(reason="garbled", verdict="unjudgeable")}
    assert judge.judge([make_item()]) == [(None,)]


def test_a_judge_that_broke_down_is_opened_anew() -> None:
    opened: list[int] = []

    class ClosingModel(RoleModel):
        async def close(self) -> None:
            opened.append(0)

    def open_model() -> Any:
        opened.append(1)
        down = len(opened) == 1
        return ClosingModel(by_role(judge=lambda _: EndpointError("down") if down else RIGHT))

    judge = JudgeReward(JudgeEndpoint(url="http://x", model="m"), open_model)
    assert judge.judge([make_item()]) == [(None,)]
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(judge.judge([make_item()]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[(True,)]] * 4
    judge.close()
    assert opened == [1, 0, 1, 0]


def test_the_judge_is_asked_about_gaps_and_about_questions() -> None:
    gap = make_question(make_asked(RenderingName.SEARCH_R1, gaps=2), 1, "x")
    assert (gap.title, gap.mask, gap.golds) == ("Skarn Point", 1, GOLDS["en"][1])
    assert gap.masked_text == "[mask] [mask] stands there."
    plain = make_question(make_asked(RenderingName.SEARCH_R1, question="Who built it?"), 0, "x")
    assert (plain.title, plain.masked_text) == ("", "Who built it?\n[mask]")
    several = make_question(make_asked(RenderingName.SEARCH_R1, gaps=2, question="Who, when?"), 1, "x")
    assert several.masked_text == "Who, when?\n1. [mask]\n2. [mask]"


@pytest.mark.parametrize(
    "golds",
    [
        [["Marguerite Ollander", "M. Ollander"]],
        ["Marguerite Ollander", "M. Ollander"],
        "Marguerite Ollander",
        {"target": ["Marguerite Ollander"]},
        json.dumps([["Marguerite Ollander"]]),
        json.dumps({"target": [["Marguerite Ollander"]]}),
    ],
)
def test_golds_are_read_as_trainers_hand_them_over(golds: object) -> None:
    numpy = pytest.importorskip("numpy")
    completion = write_gold(make_asked(RenderingName.SEARCH_R1))
    for value in (golds, numpy.array(golds, dtype=object)) if isinstance(golds, list) else (golds,):
        score = trainer_rewards.compute_score("wiki", str(completion), value, {"lang": "en"}, reward="em")
        assert score == {"score": 1.0, "acc": 1.0, "fmt": 1.0, "gamed": 0.0, "valid": 1.0}
        rewards = trainer_rewards.em_reward(["?"], [[{"role": "assistant", "content": completion}]], golds=[value])
        assert rewards == [1.0]


def test_our_own_column_of_golds_goes_before_another_scorers() -> None:
    asked = make_asked(RenderingName.SEARCH_R1, gaps=2)
    extra = {"golds": json.dumps(asked.golds), "question": asked.question}
    theirs = {"target": ["1. Marguerite Ollander\n2. 14 March 1702"]}
    assert trainer_rewards.compute_score("w", str(write_gold(asked)), theirs, extra)["score"] == 1.0
    assert read_row("[1]", {}).golds == (("[1]",),)


def test_verl_gets_numbers_for_every_reward() -> None:
    asked = make_asked(RenderingName.RESEARCH, "zh", 2)
    extra = {"rendering": "research", "lang": "zh", "question": asked.question, "judge_url": "unused"}
    half = str(write_completion(asked, make_transcript(["林曼青", "1903"])))
    for reward in set(RewardName) - {RewardName.JUDGE}:
        score = trainer_rewards.compute_score("wiki", half, asked.golds, extra, reward=reward)
        assert 0 < score["score"] < 1 or reward is RewardName.FORMAT
        assert all(isinstance(value, float) for value in score.values())
    em = trainer_rewards.compute_score("wiki", half, asked.golds, extra, reward="em", format_credit=0.5)
    assert (em["score"], em["acc"]) == (0.75, 0.5)
    hedged = half.replace("林曼青", "可能是林曼青")
    score = trainer_rewards.compute_score("wiki", hedged, asked.golds, extra)
    assert (score["score"], score["acc"], score["gamed"], score["valid"]) == (0.0, 0.0, 1.0, 1.0)


def test_the_judge_is_named_by_arguments_or_environment(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _ = make_item()
    said = str(write_completion(asked, make_transcript([WORDS])))
    monkeypatch.delenv("RAMPFORGE_JUDGE_URL", raising=False)
    with pytest.raises(ConfigError, match="no judge"):
        trainer_rewards.compute_score("wiki", said, asked.golds, reward="judge")
    named: dict[str, Any] = {"judge_url": server.url, "judge_model": "m", "judge_tries": 1}
    score = trainer_rewards.compute_score("wiki", said, asked.golds, reward="judge", reward_router_address="x", **named)
    assert (score["score"], score["valid"]) == (1.0, 1.0)
    server.cue = lambda body, count: "500"
    other = said.replace(WORDS, "the lord of the north")
    score = trainer_rewards.compute_score("wiki", other, asked.golds, reward="judge", **named)
    assert (score["score"], score["valid"], score["fmt"]) == (0.0, 0.0, 1.0)
    server.cue = lambda body, count: "ok"
    monkeypatch.setenv("RAMPFORGE_JUDGE_URL", server.url)
    monkeypatch.setenv("RAMPFORGE_JUDGE_MODEL", "m")
    assert trainer_rewards.judge_reward([""], [other], golds=[asked.golds]) == [1.0]


def test_the_judge_has_the_credentials_of_any_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    message = {"role": "assistant", "content": RIGHT}
    said = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    asked, _ = make_item()
    text = str(write_completion(asked, make_transcript([WORDS])))
    monkeypatch.setenv("SOME_TEAM", "my-team")
    with ScriptedHttp(lambda request, body, number: Said(body=said)) as server:
        options: dict[str, Any] = {
            "judge_url": f"{server.url}/v1",
            "judge_model": "m",
            "judge_headers": '{"X-Title": "${SOME_TEAM}"}',
            "judge_key_command": [sys.executable, "-c", "print('secret-token')"],
        }
        score = trainer_rewards.compute_score("wiki", text, asked.golds, reward="judge", **options)
        assert (score["score"], score["valid"]) == (1.0, 1.0)
        assert server.headers[-1]["x-title"] == "my-team"
        assert server.headers[-1]["authorization"] == "Bearer secret-token"
    with pytest.raises(ConfigError, match="judge_headers"):
        trainer_rewards.compute_score("wiki", text, asked.golds, reward="judge", **options | {"judge_headers": "X: y"})


def test_bad_rows_are_errors_and_no_zeros() -> None:
    rows: list[object] = [None, [], "", [[]], [[""]], {"other": 1}]
    for golds in rows:
        with pytest.raises(ConfigError, match="no gold"):
            read_row(golds, {})
    with pytest.raises(ConfigError, match="no rendering"):
        read_row(["x"], {"rendering": "markdown"})
    with pytest.raises(ConfigError, match="no reward"):
        trainer_rewards.compute_score("wiki", "", ["x"], reward="bleu")
    with pytest.raises(ConfigError, match="own_tokens"):
        make_trl_overlong(100, 10)(prompts=[""], completions=[""])


def test_results_that_the_environment_did_not_put_in_are_the_models() -> None:
    asked = make_asked(RenderingName.SEARCH_R1)
    completion = write_gold(asked)
    theirs = '\n\n<information>Doc 1(Title: "A page") It tells much.</information>\n\n'
    columns = {"golds": [asked.golds], "question": [asked.question]}
    for observations, worth in ([theirs], 1.0), (["Doc 2 or so"], 0.0), ([], 0.0), (None, 1.0):
        got = trainer_rewards.em_reward([""], [completion], observations=[observations], **columns)
        assert got == [worth]


def test_only_own_tokens_count_as_length() -> None:
    assert [penalise_length(n, 100, 20) for n in (0, 80, 90, 100, 500)] == [0, 0, -0.5, -1, -1]
    mask = [1] * 70 + [0] * 400 + [1] * 20
    assert make_trl_overlong(100, 20)(own_tokens=[sum(mask)], completions=[""]) == [-0.5]
    said, golds = str(write_gold(make_asked(RenderingName.SEARCH_R1))), [GOLDS["en"][0][0]]
    score = trainer_rewards.compute_score("w", said, golds, {"own_tokens": 90}, overlong_most=100, overlong_buffer=20)
    assert (score["score"], score["overlong"], score["acc"]) == (0.5, -0.5, 1.0)
    with pytest.raises(ConfigError, match="own_tokens"):
        trainer_rewards.compute_score("w", said, golds, {}, overlong_most=100)
    with pytest.raises(ValueError, match="buffer"):
        penalise_length(1, 10, 0)


def test_every_reward_has_a_name_of_its_own_in_logs() -> None:
    names = {f"{reward.value.replace('-', '_')}_reward" for reward in RewardName}
    assert all(getattr(trainer_rewards, name).__name__ == name for name in names)


def test_the_judge_opens_from_the_source_that_trainers_carry(tmp_path: Path) -> None:
    copy_source(tmp_path / "source")
    shutil.copy(str(trainer_rewards.__file__), tmp_path / "source")
    endpoint = JudgeEndpoint(url="http://127.0.0.1:1/v1", model="m").model_dump_json()
    script = f"import trainer_rewards as t; print(type(t._open_once({endpoint!r})).__name__)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {[str(tmp_path / 'source'), *SITES]!r}; {script}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout.strip() == "JudgeReward", done.stderr
