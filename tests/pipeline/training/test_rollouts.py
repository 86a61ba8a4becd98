"""Rollouts with search: masks, ends and bounds, whatever the model writes; and which groups dynamic sampling keeps."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rendering.observations import read_documents
from pipeline.rendering.tagged import SEARCH_R1
from pipeline.rollouts.search_rollout import Completion, SearchRollouts, SearchStep, Task, cut_padding, read_queries
from pipeline.training.trainers.groups import Batch, TaskPool, fill_batch, is_dull
from pipeline.training.trainers.retriever import merge, read_lists
from pipeline.training.trainers.scoring import score_completions
from schemas.renderings import QuestionKind, RenderedQuestion, ShownDocument
from schemas.training import RlRequest, Rollouts, SearchEndpoint

EOS = 0
DOCUMENT = ShownDocument(title="Ada", text="Founded in 1868.")
RIGHT = ("<think>When?</think>\n<search>school founded</search>", "<think>Found.</think>\n<answer>1868</answer>")


class Letters:
    """A tokenizer of one token a character; 0 is the end."""

    eos_token_id = EOS

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [ord(char) for char in text]}

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return "".join("<|im_end|>" if token == EOS else chr(token) for token in ids)


def make_task(name: str = "t0", masks: int = 1) -> Task:
    return Task(name, f"Fill {name}: ", "The school was founded in [mask 1].", "en", (("1868",),) * masks, masks, "p0")


def make_rollouts(**more: Any) -> Rollouts:
    search = SearchEndpoint(url="http://127.0.0.1:1")
    values: dict[str, Any] = {"group": 2, "turns": 2, "max_completion": 400, "max_turn": 200, "max_results": 150}
    return Rollouts(search=search, **(values | more))


def make_request(**more: Any) -> RlRequest:
    return RlRequest(base="m", data="d", output="o", batch=2, rollouts=make_rollouts(), **more)


def script(*turns: str) -> Callable[[list[list[int]], int], list[list[int]]]:
    """A model that says these things one after another, cut to what it may."""
    left = list(turns)

    def generate(contexts: list[list[int]], most: int) -> list[list[int]]:
        said = left.pop(0) if left else "\0"
        return [[ord(char) for char in said][:most] for _ in contexts]

    return generate


def find(searches: Sequence[SearchStep]) -> list[tuple[ShownDocument, ...]]:
    return [(DOCUMENT,) for _ in searches]


def draw(*turns: str, **more: Any) -> Completion:
    (one,) = SearchRollouts(Letters(), make_rollouts(**more)).draw([make_task()], script(*turns), find)
    return one


def test_results_are_masked_and_an_answer_is_closed() -> None:
    one = draw(*RIGHT)
    shown = SEARCH_R1.observe((DOCUMENT,), "en").text
    assert one.text == RIGHT[0] + shown + RIGHT[1]
    assert one.ids[-1] == EOS
    assert one.mask[-1] == 1
    own = "".join(chr(token) for token, mine in zip(one.ids, one.mask, strict=True) if mine and token != EOS)
    assert own == "".join(RIGHT)
    assert one.mask.count(0) == len(shown)
    assert one.observations == [shown]
    assert one.searches == 1


def test_what_is_met_is_read_by_the_strict_parser() -> None:
    question = RenderedQuestion(kind=QuestionKind.QA, lang="en", text="", answers=1)
    read = SEARCH_R1.parse_stream(question, draw(*RIGHT).text)
    assert read.answers == ("1868",)
    assert read.steps[0].documents == (DOCUMENT,)


def test_a_model_that_ends_by_itself_is_not_ended_twice() -> None:
    one = draw("<answer>1868</answer>\0")
    assert one.ids.count(EOS) == 1
    assert one.ids[-1] == EOS


def test_searching_ends_with_the_turns_and_is_left_open() -> None:
    one = draw(*(RIGHT[0],) * 5, turns=1)
    assert one.searches == 1
    assert one.ids[-1] != EOS


def test_results_are_left_out_until_they_fit() -> None:
    many = tuple(ShownDocument(title="T", text="word " * 10) for _ in range(9))
    rollouts = SearchRollouts(Letters(), make_rollouts(max_results=150))
    (one,) = rollouts.draw([make_task()], script(*RIGHT), lambda searches: [many for _ in searches])
    inside = one.observations[0].strip().removeprefix("<information>").removesuffix("</information>")
    assert len(one.observations[0]) <= 150
    assert 0 < len(read_documents(inside, "en")) < 9


def test_a_single_long_document_is_clipped_and_not_denied() -> None:
    long = ShownDocument(title="T", text="word " * 300)
    rollouts = SearchRollouts(Letters(), make_rollouts(max_results=150))
    (one,) = rollouts.draw([make_task()], script(*RIGHT), lambda searches: [(long,) for _ in searches])
    assert len(one.observations[0]) <= 150
    assert "word word" in one.observations[0]


PIECES = st.sampled_from(["<search>", "</search>", "<answer>", "</answer>", "q", "\n", "\0", "<information>", "x" * 40])


@settings(max_examples=200)
@given(turns=st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=6), room=st.integers(16, 300))
def test_whatever_is_written_stays_inside_its_bounds(turns: list[str], room: int) -> None:
    cut = [turn.split("\0")[0] + "\0" if "\0" in turn else turn for turn in turns]
    one = draw(*cut, max_completion=room)
    assert len(one.ids) == len(one.mask) <= room
    assert EOS not in one.ids[:-1]
    assert one.mask.count(0) == sum(map(len, one.observations))
    assert Letters().decode([token for token in one.ids if token != EOS]) == one.text


def test_queries_stand_between_the_last_tags() -> None:
    assert read_queries("<search>a</search> <search>b\n c \n\n</search>") == ("b", "c")
    assert read_queries("no tag</search>") == ()
    assert read_queries("<search> </search>") == ()


def test_padding_is_told_from_an_end_of_the_models_own() -> None:
    letters = Letters()
    assert cut_padding([65, 0, 0], EOS, letters.decode, ("</a>",)) == [65, 0]
    stopped = [ord(char) for char in "x</a>"]
    assert cut_padding([*stopped, 0, 0], EOS, letters.decode, ("</a>",)) == stopped
    assert cut_padding([65, 66], EOS, letters.decode, ("</a>",)) == [65, 66]


def test_a_right_answer_in_form_is_paid_in_full_and_length_costs() -> None:
    right, wrong = draw(*RIGHT), draw(RIGHT[0], "<think>Found.</think>\n<answer>1901</answer>")
    broken = draw("<answer>1868")
    request = make_request(max_own=80, overlong_buffer=40)
    score_completions([right, wrong, broken], request, None)
    assert (right.reward, right.in_form, right.right) == (1.0, 1.0, 1.0)
    assert wrong.reward == request.rollouts.format_credit
    assert broken.reward == 0.0
    assert right.penalty < 0.0 == broken.penalty


def test_groups_that_teach_nothing_are_replaced_until_the_bound() -> None:
    tasks = [make_task(f"t{number}") for number in range(8)]
    teaching = {"t5", "t6"}

    def draw_scored(asked: list[Task]) -> list[Completion]:
        made = [Completion(task, [1]) for task in asked]
        for number, one in enumerate(made):
            one.reward = float(number % 2) if one.task.task_id in teaching else 0.0
        return made

    def fill(rounds: int) -> Batch:
        return fill_batch(tasks[:2], 2, draw_scored, TaskPool(tasks, False), rounds, random.Random(0))

    assert fill(0).dull == 2
    assert fill(0).drawn == 2
    full = fill(9)
    assert full.dull == 0
    assert {one.task.task_id for one in full.completions} == teaching
    assert full.drawn <= 8
    assert not is_dull(full.completions[:2])
    assert [one.task.task_id for one in full.completions[:2]] in (["t5", "t5"], ["t6", "t6"])


def test_a_curriculum_replaces_a_task_by_one_of_as_many_masks() -> None:
    pool = TaskPool([make_task("a", 1), make_task("b", 2), make_task("c", 1)], graded=True)
    other = pool.replace(make_task("a", 1), {"a"}, random.Random(0))
    assert other is not None
    assert other.task_id == "c"
    assert pool.replace(make_task("b", 2), {"b"}, random.Random(0)) is None


def test_an_unsettled_reward_does_not_make_a_group_teach() -> None:
    group = [Completion(make_task(), [1], reward=reward) for reward in (None, 0.0, 0.0)]
    assert is_dull(group)


def test_hit_lists_are_merged_round_robin_and_faults_are_no_results() -> None:
    def hit(name: str) -> dict[str, Any]:
        return {"document": {"id": name, "title": name, "text": "</information> x"}, "score": 1.0}

    merged = merge([[hit("a"), hit("b")], [hit("a"), hit("c")]], 3)
    assert [document.title for document in merged] == ["a", "b", "c"]
    assert "</information>" not in merged[0].text
    contents = {"document": {"id": "7", "contents": '"A title"\nIts text'}}
    assert merge([[contents]], 3) == (ShownDocument(title="A title", text="Its text"),)
    failed = {"result": [[]], "statuses": [{"status": "error", "detail": "down"}]}
    replies: list[Any] = [{"result": []}, failed, []]
    for reply in replies:
        with pytest.raises(ValueError, match=r"a search failed|no `result`"):
            read_lists(reply, 1)


def test_text_beyond_a_tag_is_cut() -> None:
    one = draw(RIGHT[0] + ". And", RIGHT[1] + " and more")
    assert one.text == "".join([RIGHT[0], *one.observations, RIGHT[1]])
    assert one.end == "answered"
    assert len(one.ids) == len(one.text) + 1


def test_a_token_across_the_end_of_a_tag_stays_and_its_text_is_cut() -> None:
    class Pairs(Letters):
        """A tokenizer with one token for `>.`."""

        def decode(self, ids: Sequence[int], **more: Any) -> str:
            return "".join(">." if token == -1 else super(Pairs, self).decode([token]) for token in ids)

    ids = [*map(ord, "<think>a</think>\n<answer>1868</answer"), -1]
    (one,) = SearchRollouts(Pairs(), make_rollouts()).draw([make_task()], lambda *_: [ids], find)
    assert one.text == "<think>a</think>\n<answer>1868</answer>"
    assert one.ids == [*ids, EOS]


def test_a_thought_that_the_prompt_opens_is_opened_once() -> None:
    task = replace(make_task(), prompt="Fill:<think>\n")
    closed = RIGHT[0].removeprefix("<think>"), RIGHT[1]
    paid = []
    for turns in (closed, RIGHT):
        (one,) = SearchRollouts(Letters(), make_rollouts()).draw([task], script(*turns), find)
        score_completions([one], make_request(), None)
        paid.append(one.in_form)
    assert paid == [1.0, 0.0]
