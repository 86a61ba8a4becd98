"""What is asked of a trainer, what is kept of it, and what is said when it dies."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.rendering.token_masks import IGNORED
from pipeline.training.curves import read_curve
from pipeline.training.folders import TrainingFolder, find_checkpoint, mark_whole
from pipeline.training.launching import TrainingFleet, copy_source, launch_words, write_fsdp, write_ray, write_slurm
from pipeline.training.requests import TrainingError, settle_request
from pipeline.training.running import list_savings
from pipeline.training.sft_rows import admit_rows, find_rows, read_parquet
from pipeline.training.trainer_process import explain_death, run_trainer
from schemas.training import Backend, Layout, RlRequest, Rollouts, SearchEndpoint, SftRequest, Tuning, Weights


def make_request(root: Path, **more: Any) -> SftRequest:
    return SftRequest(base="model", data="data", output=str(root), **more)


def make_rl_request(**more: Any) -> RlRequest:
    rollouts = Rollouts(search=SearchEndpoint(url="http://127.0.0.1:8000"), group=4)
    return RlRequest(base="model", data="data", output="out", rollouts=rollouts, **more)


def make_row(length: int, trained: int = 1, name: str = "x") -> dict[str, Any]:
    labels = [7] * trained + [IGNORED] * (length - trained)
    return {"trajectory_id": name, "input_ids": [7] * length, "labels": labels}


def test_rows_that_cannot_be_trained_on_are_named(tmp_path: Path) -> None:
    uneven = {"id": "uneven", "input_ids": [1, 2], "labels": [1]}
    foreign = {"id": "foreign", "input_ids": [99], "labels": [99]}
    rows = [make_row(10, name="good"), make_row(11, name="long"), make_row(5, 0, "silent"), uneven, foreign]
    folder = TrainingFolder(tmp_path)
    admitted = admit_rows(rows, folder, max_length=10, vocabulary=50)
    reasons = {"too_long": 1, "nothing_trained": 1, "uneven": 1, "foreign_token": 1}
    assert admitted.funnel.rejected == reasons
    assert (admitted.funnel.entered, admitted.funnel.passed) == (5, 1)
    assert (admitted.tokens, admitted.trained, admitted.longest) == (10, 1, 10)
    assert pq.read_table(folder.rows).to_pylist() == [{name: rows[0][name] for name in ("input_ids", "labels")}]
    said = [json.loads(line) for line in folder.rejects.read_text().splitlines()]
    assert [line["row"] for line in said] == ["long", "silent", "uneven", "foreign"]


def test_nothing_left_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    with pytest.raises(TrainingError, match="1 too_long"):
        admit_rows([make_row(11)], folder, max_length=10, vocabulary=50)
    assert not folder.rows.exists()


def test_an_export_without_tokens_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    pq.write_table(pa.table({"messages": ["a"]}), tmp_path / "sft" / "train.parquet")
    pq.write_table(pa.table({"messages": ["a"]}), tmp_path / "sft" / "validation.parquet")
    assert [path.name for path in find_rows(tmp_path)] == ["train.parquet"]
    with pytest.raises(TrainingError, match="no column input_ids and labels"):
        list(read_parquet(find_rows(tmp_path)))
    with pytest.raises(TrainingError, match="no Parquet files"):
        find_rows(tmp_path / "elsewhere")


def prepare(root: Path) -> TrainingFolder:
    folder = TrainingFolder(root)
    admit_rows([make_row(4)], folder, max_length=10, vocabulary=50)
    return folder


def make_checkpoint(folder: TrainingFolder, step: int, whole: bool = True) -> Path:
    path = folder.checkpoints / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"half")
    if whole:
        mark_whole(path, step)
    return path


def test_a_half_written_checkpoint_is_passed_over(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    assert find_checkpoint(folder) is None
    whole = make_checkpoint(folder, 9)
    make_checkpoint(folder, 10, whole=False)
    make_checkpoint(folder, 11).joinpath("whole.json").write_text('{"step"')
    assert find_checkpoint(folder) == (whole, 9)


def test_a_training_goes_on_under_its_own_settings_only(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    settle_request(folder, make_request(tmp_path), fresh=False)
    make_checkpoint(folder, 2)
    free = make_request(tmp_path, save_every=3, layout=Layout(port=1234))
    settle_request(folder, free, fresh=False)
    other = make_request(tmp_path, batch=3, weights=Weights(learning_rate=1.0))
    with pytest.raises(ConfigError, match=r"batch was 8, is 3; weights.learning_rate was 1e-05, is 1.0") as caught:
        settle_request(folder, other, fresh=False)
    assert "--fresh" in caught.value.fix
    settle_request(folder, other, fresh=True)
    assert find_checkpoint(folder) is None


def test_other_rows_are_another_training(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    settle_request(folder, make_request(tmp_path), fresh=False)
    make_checkpoint(folder, 2)
    admit_rows([make_row(5)], folder, max_length=10, vocabulary=50)
    with pytest.raises(ConfigError, match="rows was"):
        settle_request(folder, make_request(tmp_path), fresh=False)


def test_a_curve_has_every_step_once_and_survives_a_torn_line(tmp_path: Path) -> None:
    lines = ['{"step": 1, "loss": 2.0}', '{"step": 2, "loss": 1.5}', '{"step": 2, "loss": 1.4, "note": "x"}', '{"st']
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(lines))
    assert [(one.step, one.values) for one in read_curve(path)] == [(1, {"loss": 2.0}), (2, {"loss": 1.4})]
    assert read_curve(tmp_path / "none") == ()


def test_requests_that_cannot_be_are_refused() -> None:
    for more in ({"batch": 6}, {"batch": 8, "layout": Layout(nodes=2)}):
        with pytest.raises(ValidationError):
            make_rl_request(**more)
    make_rl_request(batch=6, backend=Backend.VERL, layout=Layout(nodes=2))
    with pytest.raises(ValidationError, match="counted from 0"):
        Layout(nodes=2, rank=2)
    assert make_rl_request(max_own=100, overlong_buffer=500).own_tokens == (100, 100)


def test_the_command_fits_the_machines(tmp_path: Path) -> None:
    request = make_request(tmp_path)
    one = launch_words("py", "sft", request, TrainingFleet(Layout(), 0))
    assert "--cpu" in one
    assert one[one.index("--num_processes") + 1] == "1"
    assert not {"--multi_gpu", "--config_file", "--machine_rank"} & set(one)
    many = launch_words("py", "sft", request, TrainingFleet(Layout(nodes=2, rank=1, address="head"), 8))
    assert many[many.index("--num_processes") + 1] == "16"
    assert many[many.index("--machine_rank") + 1] == "1"
    assert many[many.index("--main_process_ip") + 1] == "head"
    assert "--config_file" in many
    adapter = make_request(tmp_path, weights=Weights(tuning=Tuning.LORA))
    assert "--multi_gpu" in launch_words("py", "sft", adapter, TrainingFleet(Layout(), 2))
    assert yaml.safe_load(write_fsdp(request))["fsdp_config"]["fsdp_version"] == 2


def test_job_scripts_are_shell_and_keep_every_word(tmp_path: Path) -> None:
    command = ["rampforge", "train", "sft", "a run", "--out", "it's"]
    fleet = TrainingFleet(Layout(nodes=4), 8)
    for text in (write_slurm(command, fleet, "job"), write_ray(command, fleet)):
        script = tmp_path / "job.sh"
        script.write_text(text)
        subprocess.run(["bash", "-n", str(script)], check=True)
    inner = shlex.split(write_slurm(command, fleet, "job").splitlines()[-1])
    assert inner[:3] == ["srun", "bash", "-c"]
    assert shlex.split(inner[3])[:6] == command
    assert "--nodes=4" in write_slurm(command, fleet, "job")


def test_the_copied_source_is_light_and_written_once(tmp_path: Path) -> None:
    copy_source(tmp_path)
    assert (tmp_path / "pipeline" / "training" / "trainers" / "sft.py").exists()
    assert list((tmp_path / "prompts" / "templates").glob("*.md"))
    marker = tmp_path / "pipeline" / "mark"
    marker.touch()
    copy_source(tmp_path)
    assert marker.exists()
    (tmp_path / "digest").write_text("old")
    copy_source(tmp_path)
    assert not marker.exists()


def test_memory_that_runs_out_says_what_to_lower(tmp_path: Path) -> None:
    savings = list_savings(make_request(tmp_path), TrainingFleet(Layout(), 1))
    words = "step 3\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"
    what, fix = explain_death(1, words, tmp_path / "log", savings, "rampforge train sft")
    assert "GPU's memory ran out" in what
    assert "--batch 8" in fix
    assert "--max-length" in fix
    assert "--tuning lora" in fix
    assert "--max-completion" in ", ".join(list_savings(make_rl_request(), TrainingFleet(Layout(), 1)))


def test_the_last_lines_of_a_dead_trainer_are_shown(tmp_path: Path) -> None:
    code = "import sys; print('9%|##| 1/9 [it/s]\\n'); sys.exit('packing needs flash attention')"
    seen: list[int] = []
    with pytest.raises(TrainingError) as caught:
        run_trainer(
            [sys.executable, "-c", code], dict(os.environ), tmp_path / "log", lambda: seen.append(1), ["x"], "again"
        )
    assert "packing needs flash attention" in caught.value.what
    assert "it/s" not in caught.value.what
    assert "again" in caught.value.fix
    assert seen


def test_a_killed_trainer_is_told_from_one_that_failed(tmp_path: Path) -> None:
    code = "import os; os.kill(os.getpid(), 9)"
    with pytest.raises(TrainingError, match="was killed"):
        run_trainer([sys.executable, "-c", code], dict(os.environ), tmp_path / "log", lambda: None, ["x"], "again")
    with pytest.raises(TrainingError, match="cannot run"):
        run_trainer([str(tmp_path / "none")], {}, tmp_path / "log", lambda: None, ["x"], "again")
