"""Preference pairs, and plain messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.exporting.pairs import NO_RIVAL, advise_pairs, pair_attempts
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from schemas.exports import Trainer
from schemas.judgements import Judgement
from schemas.renderings import RenderingName, Transcript
from schemas.tasks import MaskTask, SpanKind
from schemas.trajectories import HideMode, Trajectory
from tests.pipeline.exporting.test_selection import make_example
from tests.support.export_samples import export_sample, make_record, make_run, read_table, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run") / "sample")


@pytest.mark.parametrize("rendering", [RenderingName.SEARCH_R1, RenderingName.RESEARCH])
def test_a_pair_is_a_right_and_a_wrong_attempt_at_one_task(
    run: RunFolder, tmp_path: Path, rendering: RenderingName
) -> None:
    done = export_sample(run, tmp_path, Trainer.DPO, rendering=rendering)
    assert sum(done.files.values()) == 24
    for row in read_table(tmp_path / "pairs" / "train.parquet"):
        (asked,), (chosen,), (rejected,) = row["prompt"], row["chosen"], row["rejected"]
        assert [message["role"] for message in (asked, chosen, rejected)] == ["user", "assistant", "assistant"]
        assert (row["chosen_turn"], row["rejected_turn"]) == (chosen, rejected)
        assert row["id"].removesuffix("-right") == row["rejected_id"].removesuffix("-wrong") == row["task_id"]
        right, wrong = (turn["content"].rpartition("<answer>")[2] for turn in (chosen, rejected))
        assert "1868" in right
        assert "1868" not in wrong
        assert "1900" in wrong
    about = json.loads((tmp_path / "dataset_info.json").read_text())["rampforge_train"]
    assert about["ranking"] is True
    assert yaml.safe_load((tmp_path / "llama_factory.yaml").read_text())["stage"] == "dpo"


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(list(HideMode)), st.sampled_from(["right", "wrong", "unfit"])),
        max_size=12,
    )
)
def test_both_of_a_pair_had_the_same_withheld_and_nothing_is_lost(attempts: list[Any]) -> None:
    said = {kind: Transcript(steps=(), think=kind, answers=("1868",)) for kind in ("right", "wrong")}
    examples = [
        make_example(number, 1, task, [SpanKind.DATE], 1.0, accepted=kind == "right").model_copy(
            update={"hide": hide, "transcript": said.get(kind)}
        )
        for number, (task, hide, kind) in enumerate(sorted(attempts))
    ]
    paired = list(pair_attempts(examples))
    assert [one.trajectory_id for one in paired] == [one.trajectory_id for one in examples]
    by_id = {one.trajectory_id: one for one in examples}
    for one in paired:
        rivals = {
            other.trajectory_id
            for other in examples
            if (other.task_id, other.hide) == (one.task_id, one.hide) and other.transcript == said["wrong"]
        }
        if one.accepted and rivals:
            assert one.rejected_id in rivals
            assert one.rejected == by_id[one.rejected_id].transcript
        else:
            assert (one.transcript, one.rejected) == (None, None)
            assert one.fault == (NO_RIVAL if one.accepted else "not_accepted")


def test_a_run_without_wrong_attempts_says_what_pairs_need(run: RunFolder, tmp_path: Path) -> None:
    shards = []
    for shard in run.manifest("judgements").shards:
        rows: list[Any] = []
        for model in (MaskTask, Trajectory, Judgement):
            every = read_rows(run.part(model.dataset, shard.shard, ""), model)
            rows += [row for row in every if not str(getattr(row, "trajectory_id", "")).endswith("wrong")]
        shards.append(rows)
    with pytest.raises(ConfigError, match="no_rival") as raised:
        export_sample(write_run(tmp_path / "run", shards), tmp_path / "out", Trainer.DPO)
    assert "agents.attempts" in raised.value.fix


@pytest.mark.parametrize(
    ("agents", "imported", "names"),
    [
        ({}, None, "agents.policy=agents"),
        ({"policy": "extractive", "attempts": 4}, None, "agents.policy=agents"),
        ({"policy": "agents"}, None, "rampforge resume 'a run' --redo trajectories --set agents.attempts=4"),
        ({"policy": "policy", "attempts": 8}, None, "withheld"),
        ({"policy": "agents"}, "atif", "import"),
    ],
)
def test_what_a_run_without_pairs_lacks(agents: dict[str, Any], imported: str | None, names: str) -> None:
    assert names in advise_pairs(make_record(config={"agents": agents}, imported=imported), "a run")


def test_plain_messages_have_thoughts_and_calls_in_fields(run: RunFolder, tmp_path: Path) -> None:
    done = export_sample(run, tmp_path, Trainer.MESSAGES)
    assert not done.configs
    assert "`reasoning_content`" in (tmp_path / "README.md").read_text()
    for row in read_table(tmp_path / "train.jsonl"):
        said = [message for message in row["messages"] if message["role"] == "assistant"]
        assert all(message["reasoning_content"] and "<think>" not in message["content"] for message in said)
        (call,) = said[0]["tool_calls"]
        assert json.loads(call["function"]["arguments"])["queries"][0] == "founded year"
        assert row["tools"][0]["function"]["name"] == call["function"]["name"]
        thoughts = [span["text"] for span in json.loads(row["spans"]) if span["kind"] == "think"]
        assert thoughts == [message["reasoning_content"] for message in said]
