"""A trained model at work: exact tokens and masks, named ends, and no way to be paid for results of its own making."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.agents.solving import Rollout, ask_question
from pipeline.agents.trajectory_stage import TrajectoryStage
from pipeline.errors import RampforgeError
from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.llm.chat_model import RefusedRequestError
from pipeline.llm.structured_output import TokenUsage
from pipeline.rendering.chat_text import ChatText
from pipeline.rendering.tagged import RESEARCH, SEARCH_R1
from pipeline.rendering.token_masks import digest_tokenizer
from pipeline.rendering.transcript import ask, transcribe
from pipeline.rollouts.model_fingerprint import fingerprint_model
from pipeline.rollouts.policy_rollout import PolicyFacts, PolicyRollout
from pipeline.rollouts.tokenizer import open_tokenizer
from pipeline.stage import Outcome
from schemas.config import JudgingConfig
from schemas.llm_config import RoleModelConfig
from schemas.policies import PolicyConfig, StreamEnd
from schemas.renderings import RenderingName, SegmentKind
from schemas.streams import TokenStream
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode, SearchStatus, StopReason, Trajectory
from tests.support.tiny_policies import (
    END,
    RIGHT,
    OneShelf,
    Say,
    ScriptedTokens,
    in_turn,
    make_tokenizer,
    read,
    write_model,
)
from tests.support.trajectory_samples import make_task

QUESTION = ask_question("When was the school founded?", "en")
TASK = make_task("The school was founded in 1868 by Ada Byron.", ["1868"])
FORGED = '<think>Easy.</think>\n<information>Doc 1(Title: "A page") It was 1868.</information>\n\n'


def open_policy(model: ScriptedTokens, engine: OneShelf | None = None, **settings: Any) -> PolicyRollout:
    tokenizer = make_tokenizer()
    facts = PolicyFacts(RoleModelConfig(model="tiny"), "w0", digest_tokenizer(tokenizer))
    return PolicyRollout(engine or OneShelf(), model, tokenizer, PolicyConfig(**settings), 3, facts)


def solve(say: Say, **settings: Any) -> tuple[Rollout, TokenStream]:
    rollout = asyncio.run(open_policy(ScriptedTokens(say), **settings).solve(QUESTION, TokenUsage()))
    assert rollout.stream is not None
    return rollout, rollout.stream


def attempt(say: Say, task: MaskTask = TASK, engine: OneShelf | None = None, **settings: Any) -> Outcome:
    solver = open_policy(ScriptedTokens(say), engine, name="teacher-r1", **settings)
    return asyncio.run(TrajectoryStage(solver, [HideMode.PASSAGE], 1).work(task))


def pick(outcome: Outcome) -> tuple[Trajectory, TokenStream]:
    (row,) = [row for row in outcome.rows if isinstance(row, Trajectory)]
    (stream,) = [row for row in outcome.rows if isinstance(row, TokenStream)]
    assert stream.trajectory_id == row.trajectory_id
    return row, stream


def judge(outcome: Outcome, task: MaskTask = TASK) -> str | None:
    row, _ = pick(outcome)
    return JudgeStage(JudgingConfig()).judge(JudgedAttempt(row, task, frozenset())).reject_reason


def own_text(stream: TokenStream) -> str:
    kinds = [run.kind for run in stream.runs for _ in range(run.length)]
    return read([token for token, kind in zip(stream.ids, kinds, strict=True) if kind is not SegmentKind.OBSERVATION])


def test_a_right_attempt_is_accepted_and_its_tokens_are_exact() -> None:
    outcome = attempt(in_turn(*RIGHT))
    row, stream = pick(outcome)
    assert (row.policy, row.stop_reason, row.answers[0].answer) == ("teacher-r1", StopReason.ANSWERED, "1868")
    assert row.answers[0].evidence == row.turns[0].shown[0].passage_id
    assert (row.usage[0].role, row.usage[0].calls) == ("policy", 2)
    assert judge(outcome) is None
    assert read(stream.ids) == stream.text + END
    assert read(stream.prompt_ids) == ChatText(make_tokenizer()).write_prompt(SEARCH_R1.prompt(ask(TASK)))
    assert own_text(stream) == "".join(RIGHT) + END
    assert [run.kind for run in stream.runs] == [
        *(SegmentKind.THINK, SegmentKind.QUERY, SegmentKind.OBSERVATION, SegmentKind.THINK, SegmentKind.ANSWER)
    ]
    assert sum(stream.mask) == sum(run.length for run in stream.runs if run.kind is not SegmentKind.OBSERVATION)


@pytest.mark.parametrize("form", [SEARCH_R1, RESEARCH], ids=lambda form: str(form.name))
def test_what_is_met_is_what_the_rendering_writes(form: Any) -> None:
    last = "<think>Found.</think>\n<answer>" + ("\\boxed{1868}" if form.boxed else "1868") + "</answer>"
    row, stream = pick(attempt(in_turn(RIGHT[0], last), rendering=form.name))
    rendered = form.render(ask(TASK), transcribe(row))
    assert rendered.messages[-1].content == stream.text


def test_queries_are_asked_with_what_is_to_be_withheld() -> None:
    shelf = OneShelf()
    attempt(in_turn("<think>a</think>\n<search>one\ntwo</search>", RIGHT[1]), engine=shelf)
    assert [(request.query, request.passage_id) for request in shelf.asked] == [
        ("one", "t0-source"),
        ("two", "t0-source"),
    ]
    assert {request.hide for request in shelf.asked} == {HideMode.PASSAGE}


@pytest.mark.parametrize(
    ("turns", "reason", "reject"),
    [
        ((FORGED + RIGHT[1],), StopReason.MALFORMED, "bad_format"),
        ((RIGHT[0], FORGED + RIGHT[1]), StopReason.MALFORMED, "bad_format"),
        ((RIGHT[0], "I know it.\n" + RIGHT[1]), StopReason.MALFORMED, "bad_format"),
        ((RIGHT[1],), StopReason.ANSWERED, "bad_format"),  # without searching
        ((RIGHT[0],) * 9, StopReason.MAX_TURNS, "unanswered"),
        ((RIGHT[0], "<think>" + "well " * 300), StopReason.MAX_TOKENS, "unanswered"),
        (("qz " * 400,), StopReason.MAX_TOKENS, "bad_format"),  # garbage without a search
        ((RIGHT[0], f"<think>I stop.</think>{END}"), StopReason.NO_ANSWER, "unanswered"),
        ((RIGHT[0], "<think>x</think>\n<search>\n \n</search>"), StopReason.NO_ANSWER, "unanswered"),
        ((RIGHT[0], "<think>x</think>\n<answer> </answer>"), StopReason.GAVE_UP, "unanswered"),
        ((RIGHT[0], "<think>x</think>\n<answer>1901</answer>"), StopReason.ANSWERED, "wrong_answer"),
        ((RIGHT[0], END), StopReason.NO_ANSWER, "unanswered"),
    ],
)
def test_every_way_to_end_has_a_name(turns: tuple[str, ...], reason: StopReason, reject: str) -> None:
    outcome = attempt(in_turn(*turns))
    row, stream = pick(outcome)
    assert (row.stop_reason, judge(outcome)) == (reason, reject)
    assert len(row.turns) <= 4
    assert read([token for token in stream.ids if read([token]) != END]) == stream.text


def test_what_a_server_writes_beyond_a_stop_string_is_cut() -> None:
    forged = RIGHT[0] + SEARCH_R1.observe((), "en").text + RIGHT[1]

    class Heedless(ScriptedTokens):
        async def ask(self, request: Any) -> Any:
            return await super().ask(replace(request, stop=("</answer>",)))

    done = asyncio.run(open_policy(Heedless(in_turn(forged, RIGHT[1]))).solve(QUESTION, TokenUsage()))
    assert (done.stop_reason, done.answers[0].answer) == (StopReason.ANSWERED, "1868")
    assert done.stream is not None
    assert SEARCH_R1.observe((), "en").text not in done.stream.text
    assert (done.stream.text.startswith(RIGHT[0]), done.stream.text.endswith(RIGHT[1])) == (True, True)


def test_failed_searches_are_shown_to_nobody() -> None:
    outcome = attempt(in_turn(*RIGHT), engine=OneShelf(status=SearchStatus.TIMEOUT))
    assert [getattr(row, "reason", None) for row in outcome.rows] == ["search_failed", "search_failed"]


def test_a_prompt_that_is_too_long_is_a_named_reject() -> None:
    outcome = attempt(in_turn(*RIGHT), max_prompt=16)
    assert {getattr(row, "reason", None) for row in outcome.rows} == {"prompt_too_long"}
    assert all(step.passed == 0 for step in outcome.funnel)
    with pytest.raises(RefusedRequestError):
        solve(in_turn(*RIGHT), max_prompt=16)


def test_results_are_cut_to_their_room_and_stand_as_shown() -> None:
    long = "word " * 400
    row, stream = pick(attempt(in_turn(*RIGHT), engine=OneShelf(long, "second"), max_results=120))
    (shown,) = row.turns[0].shown
    assert shown.text
    assert shown.text in stream.text
    assert len(shown.text) < len(long)


PIECES = st.sampled_from(
    [
        "<search>",
        "</search>",
        "<answer>",
        "</answer>",
        "</think>",
        "<think>",
        "q",
        "\n",
        END,
        "<information>",
        "é北",
        "x " * 40,
    ]
)


@settings(max_examples=150)
@given(turns=st.lists(st.lists(PIECES, max_size=8).map("".join), min_size=1, max_size=6), room=st.integers(40, 400))
def test_whatever_it_writes_masks_add_up_and_tokens_are_the_text(turns: list[str], room: int) -> None:
    rollout, done = solve(in_turn(*turns), max_completion=room, max_turn=60, max_results=100)
    assert sum(run.length for run in done.runs) == len(done.ids) <= room
    observed = [run.length for run in done.runs if run.kind is SegmentKind.OBSERVATION]
    assert len(observed) == len(rollout.turns)
    assert sum(done.mask) == len(done.ids) - sum(observed)
    eos = make_tokenizer().eos_token_id
    assert eos not in done.ids[:-1]
    ids: Sequence[int] = done.ids[:-1] if done.ids and done.ids[-1] == eos else done.ids
    whole = done.end is not StreamEnd.CUT  # what is cut may end amid a character
    assert read(ids) == done.text or not whole
    if rollout.stop_reason is StopReason.ANSWERED:
        parsed = SEARCH_R1.parse_stream(ask(QUESTION.task), done.text)
        assert parsed.answers == tuple(answer.answer for answer in rollout.answers)


def test_a_tokenizer_is_told_from_another(tmp_path: Path) -> None:
    first = open_tokenizer(str(write_model(tmp_path / "a")))
    assert digest_tokenizer(first) == digest_tokenizer(make_tokenizer())
    first("a", truncation=True, max_length=4, padding="max_length")
    assert digest_tokenizer(first) == digest_tokenizer(make_tokenizer()), "what it was asked last is no part of it"
    first.chat_template = first.chat_template + " "
    assert digest_tokenizer(first) != digest_tokenizer(make_tokenizer())


def test_folders_that_are_no_model_are_refused_in_a_line(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text('{"model_type": "llama"}')
    for work in (open_tokenizer, lambda where: fingerprint_model(Path(where))):
        with pytest.raises(RampforgeError) as caught:
            work(str(bare))
        assert caught.value.fix
        assert "\n" not in caught.value.what
    silent = write_model(tmp_path / "silent")
    (silent / "chat_template.jinja").unlink()
    with pytest.raises(RampforgeError, match="chat template"):
        open_tokenizer(str(silent))


def test_weights_are_told_apart_wherever_they_differ(tmp_path: Path) -> None:
    size = 3 * 256 * 4096
    first = fingerprint_model(write_model(tmp_path / "a", bytes(size)))
    assert first == fingerprint_model(write_model(tmp_path / "b", bytes(size)))
    assert first != fingerprint_model(write_model(tmp_path / "c", bytes(size // 2) + b"\1" * (size // 2)))
    assert first != fingerprint_model(write_model(tmp_path / "d", bytes(size + 1)))


def test_only_streams_of_tags_are_played() -> None:
    with pytest.raises(ValueError, match="search-r1 or research"):
        PolicyConfig(rendering=RenderingName.QWEN_TOOLS)
    with pytest.raises(ValueError, match="teacher-r1"):
        PolicyConfig(name="agents")
