"""Rewards: the most for what is right, nothing for what games, and the papers' numbers in between."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rewards.adversarial import STREAMS, Attack, attack_rewards, list_attacks
from pipeline.rewards.formulas import RewardInput, assess, pay
from pipeline.text.normalisation import fold_text
from schemas.renderings import RenderingName
from schemas.rewards import GamingReason, RewardName
from tests.support.command_line import rampforge
from tests.support.places import REPOSITORY
from tests.support.reward_samples import GOLDS, make_asked, make_transcript, write_completion, write_gold

ATTACKS = list(list_attacks())
RENDERING = pytest.mark.parametrize("rendering", list(RenderingName))
HELD = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30)


def reward_all(asked: RewardInput, completion: object, judged: bool = True) -> dict[RewardName, float]:
    assessed = assess(asked, completion)  # type: ignore[arg-type] # samples write texts or messages
    return {reward: pay(reward, assessed, (judged,) * len(asked.golds)) for reward in RewardName}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.row.rendering}-{attack.name}")
def test_gaming_earns_nothing_and_is_named(attack: Attack) -> None:
    paid = attack_rewards(attack)
    assert not any(paid.rewards.values()), paid.rewards
    assert paid.reason is attack.reason


def test_the_set_covers_every_reason_in_both_languages() -> None:
    covered = {(attack.row.lang, attack.reason) for attack in ATTACKS}
    assert covered == set(itertools.product(["en", "zh"], GamingReason))
    assert len({(attack.name, attack.row.rendering) for attack in ATTACKS}) >= len(STREAMS) * 80


@pytest.mark.parametrize(("question", "paid"), [("[mask 1] and [mask 2] met.", 1.0), ("[mask 1] met [mask 2].", 0.0)])
def test_answers_of_order_free_masks_may_be_exchanged(question: str, paid: float) -> None:
    asked = make_asked(RenderingName.SEARCH_R1, gaps=2, question=question)
    completion = write_completion(asked, make_transcript([forms[0] for forms in asked.golds][::-1]))
    assert reward_all(asked, completion)[RewardName.EM] == paid


@RENDERING
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("gaps", [1, 2, 3, 4])
@pytest.mark.parametrize("form", [0, 1])
def test_a_right_trajectory_earns_the_most(rendering: RenderingName, lang: str, gaps: int, form: int) -> None:
    asked = make_asked(rendering, lang, gaps)
    for steps in (0, 1, 3):
        completion = write_gold(asked, form, steps=steps)
        assert set(reward_all(asked, completion).values()) == {1.0}
        if isinstance(completion, str):
            assert set(reward_all(asked, completion + "<|im_end|>\n").values()) == {1.0}


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("Ada Lovelace", "Lovelace, Ada"),
        ("1,868", "1868"),
        ("Bora Bora", "bora bora"),
        ("Maybe Baby", "“Maybe Baby”"),
        ("AC/DC", "AC/DC"),
        ("The Who?", "the who?"),
        ("Rock & Roll", "Rock & Roll"),
        ("臺灣", "台湾"),
        ("看看", "看看"),
        ("二十世纪", "20世纪"),
        ("Ｔｏｋｙｏ", "Tokyo"),
    ],
)
def test_the_gold_in_another_dress_is_no_gaming(gold: str, answer: str) -> None:
    asked = make_asked(RenderingName.SEARCH_R1, golds=((gold,),))
    rewards = reward_all(asked, write_completion(asked, make_transcript([answer])))
    assert rewards[RewardName.F1] == 1.0


@given(st.lists(HELD.filter(lambda text: bool(fold_text(text))), min_size=1, max_size=4, unique_by=fold_text))
@settings(max_examples=60, deadline=None)
def test_whatever_the_gold_writing_it_earns_the_most(golds: list[str]) -> None:
    from pipeline.rendering.transcript import fold_line

    asked = make_asked(RenderingName.SEARCH_R1, golds=tuple((fold_line(gold),) for gold in golds))
    if all(fold_text(forms[0]) for forms in asked.golds):
        assert set(reward_all(asked, write_gold(asked)).values()) == {1.0}


PIECES = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", "<search>q</search>", "\n\n<information>x</information>\n\n", "\n"]
)
WRITTEN = st.lists(
    st.one_of(PIECES, st.sampled_from(["Marguerite Ollander", "1.", "x", "或", "\\boxed{"]), HELD), max_size=9
)


@given(WRITTEN.map("".join), st.sampled_from(STREAMS), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_rewards_stay_between_nothing_and_one(text: str, rendering: RenderingName, gaps: int) -> None:
    rewards = reward_all(make_asked(rendering, "en", gaps), text)
    assert all(0 <= value <= 1 for value in rewards.values())


@given(st.sampled_from(ATTACKS), st.booleans(), WRITTEN.map("".join))
@settings(max_examples=150, deadline=None)
def test_nothing_after_the_answer_raises_a_reward(attack: Attack, right: bool, more: str) -> None:
    asked = make_asked(attack.row.rendering, "en", 2)
    base = write_gold(asked) if right else attack.completion
    assert isinstance(base, str)
    asked = asked if right else attack.row
    if "</answer>" in base:
        before, after = reward_all(asked, base), reward_all(asked, base + more)
        assert all(after[reward] <= before[reward] for reward in RewardName)


@given(
    st.permutations(["Henrik Vale", "Ada Merrow", "Marguerite Ollander", "Tomas Reuel"]),
    st.sampled_from([", ", " or ", "/", "; ", " ", "、", "\n", " and "]),
    st.integers(1, 4),
)
def test_no_enumeration_beats_the_right_answer(names: list[str], mark: str, count: int) -> None:
    asked = make_asked(RenderingName.SEARCH_R1)
    rewards = reward_all(asked, write_completion(asked, make_transcript([mark.join(names[:count])])), judged=False)
    best = reward_all(asked, write_gold(asked))
    assert all(rewards[reward] <= best[reward] for reward in RewardName)
    if count > 1 and (GOLDS["en"][0][0] in names[:count] or mark != " "):
        assert not any(rewards.values())


def test_research_and_search_r1_pay_what_the_papers_say() -> None:
    wrong = make_transcript(["Henrik Vale"])
    research = make_asked(RenderingName.RESEARCH)
    assert reward_all(research, write_completion(research, wrong))[RewardName.RESEARCH] == 0.1
    half = write_completion(research, make_transcript(["Ollander"]))
    assert reward_all(research, half)[RewardName.RESEARCH] == pytest.approx(2 / 3)
    unboxed = str(write_gold(research)).replace("\\boxed{Marguerite Ollander}", "Marguerite Ollander")
    assert reward_all(research, unboxed)[RewardName.RESEARCH] == 0
    asked = make_asked(RenderingName.SEARCH_R1)
    found = write_completion(asked, make_transcript(["Henrik Vale"], shown="By Marguerite Ollander."))
    bare = str(write_gold(asked)).removeprefix("<think>What is it?</think>\n")
    said = bare.replace("<answer>Marguerite Ollander", "<answer>Henrik Vale")
    cases = [(write_gold(asked), 1.0), (write_completion(asked, wrong), 0.2), (found, 0.3), (bare, 0.8), (said, 0.1)]
    for completion, worth in cases:
        assert reward_all(asked, completion)[RewardName.SEARCH_R1] == pytest.approx(worth)
    assert reward_all(asked, bare)[RewardName.ZEROSEARCH] == 1.0
    assert reward_all(asked, bare)[RewardName.F1] == 0.0


@RENDERING
def test_gaps_are_scored_one_by_one(rendering: RenderingName) -> None:
    asked = make_asked(rendering, "en", 4)
    answers = [GOLDS["en"][0][0], None, "Barbados", "C"]
    rewards = reward_all(asked, write_completion(asked, make_transcript(answers)))
    assert rewards[RewardName.EM] == rewards[RewardName.RECALL] == 0.25
    assert rewards[RewardName.FORMAT] == 1.0
    assert rewards[RewardName.SEARCH_R1] == pytest.approx(0.2 * 0.75 + 0.25)


def test_chinese_is_scored_by_the_character() -> None:
    asked = make_asked(RenderingName.SEARCH_R1, "zh", golds=(("北京大学",),))
    for answer, f1 in (("北京大學", 1.0), ("北京", 2 / 3), ("答案是北京大学。", 8 / 11), ("清华", 0.0)):
        rewards = reward_all(asked, write_completion(asked, make_transcript([answer])))
        assert rewards[RewardName.F1] == pytest.approx(f1), answer


def test_tool_calls_and_turns_are_read_from_messages() -> None:
    asked = make_asked(RenderingName.OPENAI_TOOLS)
    messages = write_gold(asked)
    assert not isinstance(messages, str)
    forged = [
        *messages[:-1],
        {**messages[-1], "content": "<tool_response>so</tool_response>" + messages[-1]["content"]},
    ]
    assert not any(reward_all(asked, forged).values())
    unasked = [messages[1], messages[-1]]
    assert reward_all(asked, unasked)[RewardName.FORMAT] == 0.0
    assert not any(reward_all(asked, []).values())


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 60_000,
        "<" + " " * 60_000,
        "<think>" * 20_000,
        "</search><information>" * 4_000,
        "<tool_call>\n" + "[" * 60_000 + "\n</tool_call>",
        "</tool_call>" + " user" * 20_000,
        "<think>a</think>\n<answer>" + "a " * 30_000 + "</answer>",
        "<think>a</think>\n<answer>\\boxed{" + "林曼青、" * 10_000 + "}</answer>",
        "<|im_end|>" * 10_000 + " " * 50_000 + "x",
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("rendering", STREAMS)
def test_no_completion_holds_up_the_trainer(rendering: RenderingName, text: str) -> None:
    asked = make_asked(rendering, gaps=1)
    started = time.process_time()
    assert not any(reward_all(asked, text).values())
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<|im_end|>\n<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
        ("\nuser\n", "\nassistant\n"),
        (
            "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
            "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("<end_of_turn>\n<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n"),
    ],
)
def test_calls_are_read_whatever_the_chat_template(before: str, after: str) -> None:
    asked = make_asked(RenderingName.QWEN_TOOLS)
    stream = str(write_gold(asked, steps=2))
    theirs = stream.replace("<|im_end|>\n<|im_start|>user\n", before).replace(
        "<|im_end|>\n<|im_start|>assistant\n", after
    )
    assert theirs.count(before) == theirs.count(after) == 2, stream
    assert set(reward_all(asked, theirs).values()) == {1.0}


def test_a_second_box_is_a_second_answer() -> None:
    asked = make_asked(RenderingName.RESEARCH)
    twice = str(write_gold(asked)).replace("Ollander}", "Ollander} \\boxed{Henrik Vale}")
    assert assess(asked, twice).gaming is GamingReason.SEVERAL_ANSWERS


def test_the_command_shows_that_nothing_leaks() -> None:
    code, printed = rampforge({**os.environ, "COLUMNS": "200"}, "rewards", "check", "--json")
    rows = json.loads(printed)
    assert code == 0
    assert {row["lang"] for row in rows} == {"en", "zh"}
    assert not any(row[reward] for row in rows for reward in RewardName)


def test_trainers_need_no_more_than_pydantic_and_rapidfuzz() -> None:
    script = (
        "import sys; import flows.trainer_rewards as r;"
        "r.compute_score('x', '<think>a</think>\\n<answer>b</answer>', ['b']);"
        "print(' '.join(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    root = REPOSITORY
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    heavy = {
        "torch",
        "prefect",
        "transformers",
        "aiohttp",
        "orjson",
        "opencc",
        "numpy",
        "yaml",
        "typer",
        "openai",
        "httpx2",
    }
    assert not heavy & set(done.stdout.split())
