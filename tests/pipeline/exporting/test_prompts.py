"""Prompts with gold, and the commands that train on an export."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exporting.prompt_columns import MOST_TARGETS, list_targets
from pipeline.exporting.registry import EXPORTERS
from pipeline.rendering.observations import write_answers
from pipeline.rewards.trainers import read_row
from pipeline.storage.run_folder import RunFolder
from pipeline.training.rl_rows import list_export_prompts
from schemas.exports import Trainer
from schemas.renderings import RenderingName
from tests.support.export_samples import export_sample, make_run, read_table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run") / "sample")


PROMPTED = (Trainer.TRL, *(trainer for trainer, exporter in EXPORTERS.items() if exporter.searches))


def read_prompts(folder: Path, trainer: Trainer) -> list[dict[str, Any]]:
    return read_table(folder / ("rl/train.parquet" if trainer is Trainer.TRL else "train.parquet"))


@pytest.mark.parametrize("trainer", PROMPTED)
def test_rewards_of_ours_read_the_prompts(run: RunFolder, tmp_path: Path, trainer: Trainer) -> None:
    export_sample(run, tmp_path, trainer)
    for row in read_prompts(tmp_path, trainer):
        facts = row if trainer is Trainer.TRL else row["extra_info"]
        asked = read_row(facts["golds"], facts)
        assert asked.golds in ((("1868",),), (("1868",), ("Ada Byron",)))
        assert asked.question.endswith("taught there.")
        assert "1868" not in json.dumps(row["prompt"])
        # Who withholds the source needs its passage; who weighs rows, what was withheld and shown.
        assert facts["passage_id"] == f"{facts['task_id']}-source"
        assert (facts["page_id"], facts["hide"], facts["turns"]) == (7, "passage", 2)
        assert json.loads(facts["shown"])[1] == []
        if trainer is not Trainer.TRL:
            flat = ["1868"] if len(asked.golds) == 1 else ["1. 1868\n2. Ada Byron"]
            truth = row["reward_model"]["ground_truth"]
            assert (truth if trainer is Trainer.RESEARCH else truth["target"]) == row["golden_answers"] == flat
            # Search-R1's scorer counts the example in the prompt: two answers are one too many.
            if trainer not in (Trainer.VERL_RL, Trainer.RESEARCH):
                assert "".join(message["content"] for message in row["prompt"]).count("<answer>") == 1
    if trainer is Trainer.TRL:
        (first, *_) = list_export_prompts([tmp_path / "rl" / "train.parquet"], RenderingName.QWEN_TOOLS)
        assert first["passage_id"] == f"{first['task_id']}-source"
        assert first["rendering"] == "qwen-tools"


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8), min_size=1, max_size=4))
def test_targets_are_the_combinations_of_forms_earlier_forms_first(golds: list[list[str]]) -> None:
    every = sorted(product(*(range(len(forms)) for forms in golds)), key=lambda row: (sum(row), row))
    wanted = [write_answers([forms[n] for forms, n in zip(golds, row, strict=True)]) for row in every]
    assert list_targets(golds) == list(dict.fromkeys(wanted[:MOST_TARGETS]))


def test_targets_have_the_answers_of_order_free_masks_in_every_order() -> None:
    golds = [["Ada"], ["Mary", "Mrs Shelley"], ["1868"]]
    wanted = ["1. Ada\n2. {}\n3. 1868", "1. {}\n2. Ada\n3. 1868"]
    either = [line.format(name) for name in ("Mary", "Mrs Shelley") for line in wanted]
    assert list_targets(golds, "[mask 1] and [mask 2] met in [mask 3].") == either
    assert list_targets(golds, "[mask 1] met [mask 2] in [mask 3].") == either[::2]


def test_targets_of_many_forms_take_no_more_time_than_they_are_many() -> None:
    targets = list_targets([[f"{mask} {form}" for form in range(1_000)] for mask in range(4)])
    assert len(set(targets)) == MOST_TARGETS
    assert targets[0] == "1. 0 0\n2. 1 0\n3. 2 0\n4. 3 0"


@pytest.mark.parametrize(
    "question",
    ["#, #, # and # met #, #, # and #.", "#, #, #, #, #, #, # and # met.", "# and # met # and # in #, # and #. #."],
)
def test_targets_of_eight_masks_begin_with_the_first_orders(question: str) -> None:
    numbers = iter(range(1, 9))
    numbered = re.sub("#", lambda _: f"[mask {next(numbers)}]", question)
    targets = list_targets([[name] for name in "abcdefgh"], numbered)
    orders = list(dict.fromkeys(tuple(line[3:] for line in target.splitlines()) for target in targets))
    assert orders[0] == tuple("abcdefgh")
    assert len(orders) == min(MOST_TARGETS, 2 * 2 * 6 if "in" in question else MOST_TARGETS)
    assert orders == sorted(orders)
