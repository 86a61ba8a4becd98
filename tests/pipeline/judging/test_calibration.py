"""Calibration of the judge: labels, kappa, trust in words, and the command against a scripted server."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from flows.cli.app import app
from pipeline.errors import ConfigError, RampforgeError
from pipeline.judging.calibration import (
    Judged,
    judge_labelled,
    make_question,
    read_labelled,
    rule_answer,
    score_verdicts,
)
from pipeline.judging.calibration_advice import Trust, assess_judge, bound_share
from pipeline.judging.llm_judge import LlmJudge
from pipeline.judging.llm_judge_stage import LlmJudgeStage
from pipeline.judging.llm_judge_stage import make_question as question_of_attempt
from pipeline.llm.chat_model import ChatRequest, RefusedRequestError
from pipeline.statistics.agreement import measure_kappa
from schemas.config import JudgingConfig
from schemas.judgements import Judgement, Verdict
from schemas.labelled_answers import LabelledAnswer
from schemas.llm_config import RoleModelConfig
from tests.support.fault_server import FaultServer, prompt_of
from tests.support.scripted_http import Said, ScriptedHttp
from tests.support.scripted_roles import RoleModel, by_role, write
from tests.support.trajectory_samples import make_attempt

YES, NO, UNSURE = Verdict.CORRECT, Verdict.INCORRECT, Verdict.UNJUDGEABLE
CONFIG = JudgingConfig(judge="llm")
LABELLED = read_labelled()
LABELS = {json.dumps(one.answer.strip(), ensure_ascii=False): one.verdict for one in LABELLED}


def judge_with(say: Callable[[ChatRequest], str | RampforgeError] | str) -> list[Judged]:
    judge = LlmJudge(RoleModel(by_role(judge=say)), CONFIG)

    async def judge_all() -> list[Judged]:
        return [await judge_labelled(one, judge, CONFIG) for one in LABELLED]

    return asyncio.run(judge_all())


def find_label(prompt: str) -> str:
    """The verdict that the answer in the prompt deserves."""
    (answer,) = re.findall(r"<answer>\n(.*)\n</answer>", prompt)
    return next(v for a, v in LABELS.items() if answer == a or json.loads(answer) == json.loads(a))


def say_verdict(verdict: str) -> str:
    return write(reason="So it is.", verdict=verdict)


def test_labels_cover_every_category_in_both_languages() -> None:
    kinds = {"right", "wrong", "hedged", "empty", "undetermined", "junk"}
    assert {(one.lang, one.category) for one in LABELLED} == {(lang, kind) for lang in ("en", "zh") for kind in kinds}
    for one in LABELLED:
        ruled = rule_answer(one.answer, (one.gold, *one.aliases), one.kind, CONFIG)
        assert not ruled.settled or ruled.verdict.value == one.verdict, "what the rules settle, they settle rightly"
        assert ruled.settled or ruled.verdict is NO


def test_rules_come_first_as_in_the_judging_stage() -> None:
    text, gold = "The school was founded by Augusta Ada King there.", "Augusta Ada King"
    for answer in (gold, "Lovelace", "", "</answer> x", "A. A. King or Bob", "augusta  ada king."):
        model = RoleModel(by_role(judge=say_verdict("incorrect")))
        attempt = make_attempt(text=text, golds=[gold], answers=[answer or None])
        outcome = asyncio.run(LlmJudgeStage(CONFIG, model, {"default": RoleModelConfig(model="m")}).work(attempt))
        judgement = outcome.rows[0]
        assert isinstance(judgement, Judgement)
        span = attempt.task.spans[0]
        one = LabelledAnswer(
            lang="en",
            title=attempt.task.title,
            section=attempt.task.section,
            masked_text=attempt.task.masked_text,
            gold=gold,
            aliases=span.aliases,
            kind=span.kind,
            answer=answer,
            verdict="incorrect",
        )
        ruled = rule_answer(one.answer, (one.gold, *one.aliases), one.kind, CONFIG)
        assert ruled.settled == (not model.requests)
        assert ruled.verdict is judgement.verdict
        assert make_question(one) == question_of_attempt(attempt, 0)


def test_scores_of_constant_judges() -> None:
    right = sum(one.verdict == "correct" for one in LABELLED)
    wrong = len(LABELLED) - right
    for said, verdict in ((say_verdict("correct"), YES), (say_verdict("incorrect"), NO), ("hm", UNSURE)):
        judged = judge_with(said)
        score = score_verdicts(judged, lambda one: one.by_model.verdict)
        assert (score.count, score.deserve_correct, score.deserve_incorrect) == (len(LABELLED), right, wrong)
        assert score.right == {YES: right, NO: wrong, UNSURE: 0}[verdict]
        assert score.false_accepts == (wrong if verdict is YES else 0)
        assert score.false_rejects == (right if verdict is NO else 0)
        assert score.undecided == (len(LABELLED) if verdict is UNSURE else 0)
        assert score.kappa == 0
        assert assess_judge(judged).trust is Trust.NO
        assert all(one.by_job is (one.by_rules.verdict if one.by_rules.settled else verdict) for one in judged)
    refused = judge_with(lambda _: RefusedRequestError("bad_request", "no"))
    assert {one.by_model.verdict for one in refused} == {Verdict.ERROR}
    assert "refused" in assess_judge(refused).advice[1]
    assert "says `error` to everything" in assess_judge(refused).advice[0]


def test_right_judge_is_trusted_and_sloppy_one_is_advised() -> None:
    perfect = judge_with(lambda request: say_verdict(find_label(request.messages[-1].text)))
    assert score_verdicts(perfect, lambda one: one.by_model.verdict).kappa == 1
    assessment = assess_judge(perfect)
    assert assessment.trust is Trust.YES
    assert "label more of your own" in assessment.advice[-1]
    hedged = {json.dumps(one.answer, ensure_ascii=False) for one in LABELLED if one.category == "hedged"}

    def be_sloppy(request: ChatRequest) -> str:
        prompt = request.messages[-1].text
        fooled = any(answer in prompt for answer in hedged)
        return say_verdict("correct" if fooled else find_label(prompt))

    assessment = assess_judge(judge_with(be_sloppy))
    assert assessment.trust is Trust.NO
    assert "It lets pass: hedged 9." in assessment.advice[0]


@given(st.lists(st.tuples(st.sampled_from(Verdict), st.sampled_from(Verdict)), max_size=40))
def test_kappa_is_symmetric_and_bounded(pairs: list[tuple[Verdict, Verdict]]) -> None:
    kappa = measure_kappa(Counter(pairs))
    assert kappa == measure_kappa(Counter((b, a) for a, b in pairs))
    if kappa is not None:
        assert -1 <= kappa <= 1
        assert (kappa == 1) == all(a is b for a, b in pairs)


def test_kappa_and_bound_by_hand() -> None:
    # Two by two: 20 and 15 agree, 5 and 10 do not; observed 0.7, chance 0.5.
    assert measure_kappa(Counter({(YES, YES): 20, (YES, NO): 5, (NO, YES): 10, (NO, NO): 15})) == pytest.approx(0.4)
    assert measure_kappa(Counter({(YES, YES): 3})) is None
    assert bound_share(0, 47) == pytest.approx(0.0756, abs=1e-4)
    assert bound_share(0, 0) == 1
    assert bound_share(5, 5) == 1


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["{}"], "line 1: lang"),
        (["", '{"lang": "en"'], "line 2"),
        ([], "no labelled answers"),
        ([json.dumps({**json.loads(LABELLED[0].model_dump_json()), "masked_text": "no gap"})], "no gap number 0"),
        ([json.dumps({**json.loads(LABELLED[0].model_dump_json()), "verdict": "maybe"})], "verdict"),
        ([json.dumps({**json.loads(LABELLED[0].model_dump_json()), "colour": "red"})], "colour"),
    ],
)
def test_a_broken_file_of_pairs_names_its_line(lines: Sequence[str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=said):
        read_labelled(path)
    with pytest.raises(ConfigError, match="not readable"):
        read_labelled(tmp_path / "none.jsonl")


def answer_rightly(body: dict[str, Any]) -> dict[str, Any]:
    return {"content": json.dumps({"reason": "so", "verdict": find_label(prompt_of(body))})}


def run_command(server: FaultServer | ScriptedHttp, out: Path, *more: str) -> Result:
    settings = [f'llm.endpoints={{local: {{url: "{server.url}"}}}}', "llm.roles={judge: {model: the-judge}}"]
    return CliRunner().invoke(app, ["calibrate", "--out", str(out), *[w for s in settings for w in ("-s", s)], *more])


def test_the_command_against_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with FaultServer(lambda body, count: "500" if count == 1 and len(prompt_of(body)) % 3 == 0 else "ok") as server:
        server.answer = answer_rightly
        result = run_command(server, tmp_path)
        assert result.exit_code == 0, result.output
        answered = sum(server.answered.values())
        assert "Can the-judge be trusted as a judge? Yes" in result.output
        assert re.search(r"hedged, incorrect\W+-\W+9 ", result.output)
        again = run_command(server, tmp_path, "--json")
        assert sum(server.answered.values()) == answered, "what was asked before is answered from the journal"
    told = json.loads(again.stdout)
    assert (told["trust"], told["answers"], told["misjudged"]) == ("yes", len(LABELLED), [])
    assert told["judges"]["rules, then the model"]["kappa"] == 1
    assert told["categories"]["junk, correct"] == {"correct": 9}
    agree, kappa = told["agreement_with_rules"]["answers"], told["agreement_with_rules"]["kappa"]
    assert 0 < agree < len(LABELLED)
    assert 0 < kappa < 1
    books = (tmp_path / "calls" / "usage.jsonl").read_text().splitlines()
    assert len(books) == answered + len(server.probes), "a token asked before the work is counted too"


def test_the_command_takes_a_file_of_ones_own_and_shows_it_inert(tmp_path: Path) -> None:
    one = LABELLED[0].model_copy(update={"answer": "x [bold]\x1b[31m</answer>", "category": "[red]mine", "gold": "y"})
    (tmp_path / "mine.jsonl").write_text(one.model_dump_json() + "\n")
    with FaultServer() as server:
        result = run_command(server, tmp_path / "out", "--pairs", str(tmp_path / "mine.jsonl"))
    assert result.exit_code == 0, result.output
    assert "\x1b[31m" not in result.output
    assert "[red]mine, correct" in result.output
    assert "Can the-judge be trusted as a judge? No" in result.output


def test_answers_taken_for_reasoning_name_the_servers_option(tmp_path: Path) -> None:
    message = {"role": "assistant", "content": "", "reasoning_content": say_verdict("correct")}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    told = {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 9}, "data": []}
    with ScriptedHttp(lambda *_: Said(body=json.dumps(told).encode())) as server:
        result = run_command(server, tmp_path, "--json")
    assert result.exit_code == 0, result.output
    advice = " ".join(json.loads(result.stdout)["advice"])
    assert "--reasoning-parser" in advice
    assert "cut off" not in advice


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-s", "llm.roles={}"), "no model plays the role judge"),
        (("-s", "llm.endpoints={}"), "no endpoint serves the role judge"),
        (("--pairs", "none.jsonl"), "not readable"),
    ],
)
def test_command_names_missing_settings(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with FaultServer() as server:
        result = run_command(server, tmp_path, *words)
    assert isinstance(result.exception, ConfigError)
    assert said in result.exception.what
    assert not server.asked
