"""Exports as the trainers' own loaders read them: all rows are there, tools reach the prompt, loss is in its place.

Run by `make test-slow`, or alone by `pytest -m slow tests/pipeline/exporting/test_loaders.py -rA`;
`loader_environments.py` says which environments they need.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.storage.run_folder import RunFolder
from schemas.exports import Trainer
from schemas.renderings import RenderingName
from tests.support.export_samples import export_sample, make_run
from tests.support.loader_environments import run_loader, save_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.assets]

TOOLS = (RenderingName.QWEN_TOOLS, RenderingName.OPENAI_TOOLS)
CALL = '<tool_call>\n{"name": "search", "arguments": {"queries": ["founded year", "founding", "when"]}}\n</tool_call>'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run") / "sample", langs=("en",))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("model"))


def check(seen: dict[str, Any], folder: Path, rendering: RenderingName) -> None:
    """All rows are there; what the model sees is whole; what it is trained on is all that it says and nothing else."""
    (file,) = [path for path in folder.rglob("train.*") if path.parent.name != "rl"]
    rows = pq.read_table(file).to_pylist() if file.suffix == ".parquet" else read_lines(file)
    assert seen["rows"] == len(rows)
    shown = next(spans for row in rows if (spans := json.loads(row["spans"])) and is_row(spans, seen["text"]))
    for span in shown:
        text = span["text"].strip()
        if span["kind"] in ("think", "answer") or (span["kind"] == "query" and "tool" not in span):
            assert text in seen["trained"]
        if span["kind"] == "query" and "tool" in span:
            assert CALL in seen["trained"]
        if span["kind"] in ("prompt", "observation"):
            assert text in seen["text"]
            assert text not in seen["trained"]
    assert seen["trained"].rstrip("\n").endswith("</answer><|im_end|>")
    assert "Doc 1(" not in seen["trained"]
    if rendering in TOOLS:
        assert '{"name": "search", "description": "Search the encyclopedia.' in seen["text"]


def is_row(spans: list[dict[str, Any]], text: str) -> bool:
    """Whether these are the spans of the row that a loader has shown."""
    asked = next(span["text"] for span in spans if span["role"] == "user")
    return asked.strip() in text


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("rendering", [RenderingName.SEARCH_R1, RenderingName.QWEN_TOOLS])
def test_trl_takes_tokens_and_labels_as_they_are(
    run: RunFolder, tmp_path: Path, model: Path, rendering: RenderingName
) -> None:
    export_sample(run, tmp_path, Trainer.TRL, tokenised=True, rendering=rendering)
    check(run_loader("trl", "trl_sft", tmp_path, model), tmp_path, rendering)


@pytest.mark.parametrize("rendering", TOOLS)
def test_trl_puts_loss_on_messages_of_the_assistant(
    run: RunFolder, tmp_path: Path, model: Path, rendering: RenderingName
) -> None:
    export_sample(run, tmp_path, Trainer.TRL, rendering=rendering)
    check(run_loader("trl", "trl_sft", tmp_path, model), tmp_path, rendering)


def test_trl_hands_the_gold_to_rewards(run: RunFolder, tmp_path: Path, model: Path) -> None:
    export_sample(run, tmp_path, Trainer.TRL)
    seen = run_loader("trl", "trl_grpo", tmp_path, model)
    assert {"golds", "lang", "rendering", "question"} <= set(seen["columns"])
    assert json.loads(seen["golds"])[0] == ["1868"]
    assert "[mask 1]" in seen["text"]


def test_trl_takes_pairs(run: RunFolder, tmp_path: Path, model: Path) -> None:
    done = export_sample(run, tmp_path, Trainer.DPO)
    seen = run_loader("trl", "trl_dpo", tmp_path, model)
    assert seen["rows"] == done.files["pairs/train.parquet"]
    assert seen["loss"] > 0
    asked, chosen, rejected = (seen["texts"][f"{name}_ids"] for name in ("prompt", "chosen", "rejected"))
    assert "[mask 1]" in asked
    assert "1868</answer>" in chosen or "Ada Byron</answer>" in chosen
    assert "1900</answer>" in rejected


@pytest.mark.parametrize("rendering", TOOLS)
def test_verl_puts_loss_on_messages_of_the_assistant(
    run: RunFolder, tmp_path: Path, model: Path, rendering: RenderingName
) -> None:
    export_sample(run, tmp_path, Trainer.VERL_SFT, rendering=rendering)
    check(run_loader("verl", "verl_sft", tmp_path, model), tmp_path, rendering)


@pytest.mark.parametrize("rendering", [RenderingName.SEARCH_R1, RenderingName.OPENAI_TOOLS])
def test_verl_takes_prompts_and_ground_truth(
    run: RunFolder, tmp_path: Path, model: Path, rendering: RenderingName
) -> None:
    done = export_sample(run, tmp_path, Trainer.VERL_RL, rendering=rendering)
    seen = run_loader("verl", "verl_rl", tmp_path, model)
    assert seen["rows"] == done.files["train.parquet"]
    assert json.loads(seen["extra_info"]["golds"])[0] == ["1868"]
    assert seen["ground_truth"]["target"] in (["1868"], ["1. 1868\n2. Ada Byron"])
    assert seen["extra_info"]["need_tools_kwargs"] is False
    assert seen["agent"] == (None if rendering is RenderingName.SEARCH_R1 else "tool_agent")
    assert "[mask 1]" in seen["text"]


@pytest.mark.parametrize("rendering", TOOLS)
def test_llama_factory_knows_calls_and_results(
    run: RunFolder, tmp_path: Path, model: Path, rendering: RenderingName
) -> None:
    export_sample(run, tmp_path, Trainer.LLAMA_FACTORY, rendering=rendering)
    seen = run_loader("loader-llamafactory", "llama_factory_sft", tmp_path, model)
    check(seen, tmp_path, rendering)


@pytest.mark.parametrize("rendering", [*TOOLS, RenderingName.SEARCH_R1])
def test_ms_swift_knows_calls_and_pieces_of_a_turn(
    run: RunFolder, tmp_path: Path, model: Path, rendering: RenderingName
) -> None:
    export_sample(run, tmp_path, Trainer.MS_SWIFT, rendering=rendering)
    check(run_loader("loader-ms-swift", "ms_swift_sft", tmp_path, model), tmp_path, rendering)


def test_openrlhf_puts_loss_on_every_turn(run: RunFolder, tmp_path: Path, model: Path) -> None:
    export_sample(run, tmp_path, Trainer.OPENRLHF)
    seen = run_loader("loader-openrlhf", "openrlhf_sft", tmp_path, model)
    check(seen, tmp_path, RenderingName.QWEN_TOOLS)


@pytest.mark.parametrize("rendering", TOOLS)
def test_axolotl_puts_loss_on_messages_of_the_assistant(
    run: RunFolder, tmp_path: Path, model: Path, rendering: RenderingName
) -> None:
    export_sample(run, tmp_path, Trainer.AXOLOTL, rendering=rendering)
    check(run_loader("loader-axolotl", "axolotl_sft", tmp_path, model), tmp_path, rendering)


def test_axolotl_takes_tokens_and_labels_as_they_are(run: RunFolder, tmp_path: Path, model: Path) -> None:
    export_sample(run, tmp_path, Trainer.AXOLOTL, tokenised=True)
    check(run_loader("loader-axolotl", "axolotl_sft", tmp_path, model), tmp_path, RenderingName.SEARCH_R1)
