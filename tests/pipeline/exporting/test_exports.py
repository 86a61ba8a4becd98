"""Every trainer gets its files, whole and the same each time; what is no row says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from flows.cli.app import app
from pipeline.errors import ConfigError, StorageError
from pipeline.exporting.registry import EXPORTERS
from pipeline.rendering.chat_template import ChatTemplateError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from schemas.exports import RowOrder, TaskSelection, Trainer
from schemas.funnel import Reject
from schemas.ledger import StageManifest
from schemas.renderings import RenderingName
from schemas.tasks import MaskTask
from tests.support import chat_templates
from tests.support.export_samples import export_sample, make_run, read_table

ALL = pytest.mark.parametrize("trainer", [trainer for trainer in Trainer if trainer is not Trainer.SESSION_TRACES])
TAGGED = (RenderingName.SEARCH_R1, RenderingName.RESEARCH)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run") / "sample")


def hash_folder(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", ["README.md", "train.jsonl"])
def test_files_of_others_are_not_replaced(run: RunFolder, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError):
        export_sample(run, tmp_path, Trainer.MESSAGES)
    assert hash_folder(tmp_path) == {name: b"mine"}


@ALL
def test_an_export_is_whole_and_always_the_same(run: RunFolder, tmp_path: Path, trainer: Trainer) -> None:
    done = export_sample(run, tmp_path / "a", trainer)
    export_sample(run, tmp_path / "b", trainer)
    files = hash_folder(tmp_path / "a")
    assert files == hash_folder(tmp_path / "b")
    assert {name.startswith("source/") for name in files} == ({True, False} if trainer is Trainer.VERL_RL else {False})
    files = {name: text for name, text in files.items() if not name.startswith("source/")}
    assert {"README.md", "statistics.json", "rejects.parquet", *done.configs, *done.files} == set(files)
    pages: list[set[str]] = []
    for file, count in done.files.items():
        rows = read_table(tmp_path / "a" / file)
        assert len(rows) == count
        assert all(find_spans(row) for row in rows if trainer is not Trainer.ATIF)
        pages.append({find_facts(row)["document_id"] for row in rows})
    assert not pages[0] & pages[1]
    rejects = list(read_rows(tmp_path / "a" / "rejects.parquet", Reject))
    for step in done.funnel:
        reasons = [reject.reason for reject in rejects if reject.stage == step.stage]
        assert step.entered == 48
        assert {reason: reasons.count(reason) for reason in set(reasons)} == step.rejected


def find_facts(row: dict[str, Any]) -> dict[str, Any]:
    """What a row says of its task, wherever its format has a place for that."""
    facts: dict[str, Any] = row.get("extra_info") or row.get("extra", {}).get("rampforge") or row
    return facts


def find_spans(row: dict[str, Any]) -> bool:
    """The spans of a row name all that the model is given, and for a demonstration all that it says."""
    spans = json.loads(row["spans"])
    kinds = {span["kind"] for span in spans}
    return kinds == {"prompt"} or kinds == {"prompt", "think", "query", "observation", "answer"}


@pytest.mark.parametrize("rendering", list(RenderingName))
@ALL
def test_a_format_is_taken_or_refused_with_the_way_out(
    run: RunFolder, tmp_path: Path, trainer: Trainer, rendering: RenderingName
) -> None:
    exporter = EXPORTERS[trainer]
    if rendering in exporter.renderings:
        export_sample(run, tmp_path, trainer, rendering=rendering)
        return
    with pytest.raises(ConfigError) as raised:
        export_sample(run, tmp_path, trainer, rendering=rendering)
    assert "--rendering" in raised.value.fix
    assert ("--tokenizer" in raised.value.fix) == (rendering in exporter.token_renderings)


def test_only_trainers_that_mask_inside_a_message_are_fed_with_streams_of_tags() -> None:
    taken = {trainer for trainer, exporter in EXPORTERS.items() if set(TAGGED) & set(exporter.renderings)}
    prompts = {trainer for trainer, exporter in EXPORTERS.items() if exporter.searches}
    assert taken == {Trainer.MS_SWIFT, Trainer.DPO, *prompts}


def test_llama_factory_turns_alternate_and_calls_are_json_after_their_thought(run: RunFolder, tmp_path: Path) -> None:
    export_sample(run, tmp_path, Trainer.LLAMA_FACTORY)
    about = json.loads((tmp_path / "dataset_info.json").read_text())
    assert {entry["file_name"] for entry in about.values()} == {"train.jsonl", "validation.jsonl"}
    for row in read_table(tmp_path / "train.jsonl"):
        roles = [turn["from"] for turn in row["conversations"]]
        assert roles == ["human", "function_call", "observation", "function_call", "observation", "gpt"]
        thought, _, call = row["conversations"][1]["value"].rpartition("</think>\n\n")
        assert thought.startswith("<think>\n")
        assert json.loads(call)["name"] == json.loads(row["tools"])[0]["function"]["name"] == "search"


def test_ms_swift_keeps_loss_off_results_inside_a_turn(run: RunFolder, tmp_path: Path) -> None:
    export_sample(run, tmp_path, Trainer.MS_SWIFT, rendering=RenderingName.SEARCH_R1)
    for row in read_table(tmp_path / "train.jsonl"):
        for message in row["messages"][1:]:
            assert message["loss"] == ("<information>" not in message["content"])


def test_a_curriculum_is_kept_by_the_trainer(run: RunFolder, tmp_path: Path) -> None:
    export_sample(run, tmp_path, Trainer.TRL, order=RowOrder.CURRICULUM)
    masks = [row["mask_count"] for row in read_table(tmp_path / "sft" / "train.parquet")]
    assert masks == sorted(masks)
    config = yaml.safe_load((tmp_path / "sft.yaml").read_text())
    assert config["train_sampling_strategy"] == "sequential"
    assert config["shuffle_dataset"] is False


def test_prompts_may_be_of_every_task_but_demonstrations_may_not(run: RunFolder, tmp_path: Path) -> None:
    done = export_sample(run, tmp_path, Trainer.VERL_RL, tasks=TaskSelection.ALL)
    assert sum(done.files.values()) == 24
    with pytest.raises(ConfigError, match="demonstrations"):
        export_sample(run, tmp_path, Trainer.OPENRLHF, tasks=TaskSelection.ALL)


@pytest.mark.assets
def test_tokens_carry_labels_and_long_rows_are_left_out_whole(run: RunFolder, tmp_path: Path) -> None:
    export_sample(run, tmp_path / "all", Trainer.TRL, tokenised=True, split=0.0)
    rows = read_table(tmp_path / "all" / "sft" / "train.parquet")
    for row in rows:
        assert all(label in (-100, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))
        assert sum(length for _, _, length in json.loads(row["token_spans"])) == len(row["input_ids"])
    lengths = sorted(len(row["input_ids"]) for row in rows)
    limit = lengths[len(lengths) // 2]
    done = export_sample(run, tmp_path / "short", Trainer.TRL, tokenised=True, split=0.0, max_tokens=limit)
    assert done.funnel[0].rejected["too_long"] == sum(length > limit for length in lengths)
    kept = read_table(tmp_path / "short" / "sft" / "train.parquet")
    assert [row["id"] for row in kept] == [row["id"] for row in rows if len(row["input_ids"]) <= limit]
    with pytest.raises(ConfigError, match="nothing to export"):
        export_sample(run, tmp_path / "none", Trainer.TRL, tokenised=True, max_tokens=3)


def test_the_card_is_read_by_the_hub_and_by_datasets(run: RunFolder, tmp_path: Path) -> None:
    import datasets

    export_sample(run, tmp_path / "set", Trainer.TRL)
    header = yaml.safe_load((tmp_path / "set" / "README.md").read_text().split("---\n")[1])
    assert header["license"] == ["cc-by-sa-3.0", "cc-by-sa-4.0"]
    assert header["language"] == ["en", "zh"]
    for name in ("sft", "rl"):
        loaded = datasets.load_dataset(str(tmp_path / "set"), name, cache_dir=str(tmp_path / "cache"))
        assert set(loaded) == {"train", "validation"}
    told = json.loads((tmp_path / "set" / "statistics.json").read_text())
    assert told["tables"]["sft"]["histograms"]["masks"] == {"1": 12, "2": 12}
    assert sum(told["tables"]["sft"]["rows"].values()) == 24


def test_nothing_is_pushed_unless_asked_for(run: RunFolder, tmp_path: Path) -> None:
    options = ["export", str(run.root), "--to", "openrlhf", "--out", str(tmp_path), "--split", "0.3"]
    shown = CliRunner().invoke(app, [*options, "--push", "someone/corpus"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "would upload to the private dataset someone/corpus" in shown.stdout
    assert "train.jsonl" in shown.stdout
    broken = CliRunner().invoke(app, [*options, "--push", "no name/"])
    assert "dataset name" in str(broken.exception)


def test_a_push_uploads_what_was_written(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any]]] = []

    class Hub:
        def create_repo(self, name: str, **options: Any) -> None:
            told.append((name, options))

        def upload_folder(self, **options: Any) -> str:
            told.append((options["repo_id"], options))
            return "https://hub.example/someone/corpus"

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    options = ["export", str(run.root), "--to", "openrlhf", "--out", str(tmp_path), "--push", "someone/corpus"]
    pushed = CliRunner().invoke(app, [*options, "--no-dry-run"], catch_exceptions=False)
    assert "https://hub.example" in pushed.stdout
    (created, how), (_, sent) = told
    assert (created, how["private"], how["repo_type"]) == ("someone/corpus", True, "dataset")
    assert sent["folder_path"] == tmp_path

    def refuse(self: Hub, name: str, **options: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(Hub, "create_repo", refuse)
    refused = CliRunner().invoke(app, [*options, "--no-dry-run"])
    assert "no route to host" in str(refused.exception)


def test_a_shard_of_another_version_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "sample")
    shard = min(run.dataset(MaskTask.dataset).glob("*.parquet"))
    table = pq.read_table(shard)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"rampforge.schema_version": b"99"}), shard)
    manifest = run.manifest("judgements").model_dump()
    manifest["shards"][0]["files"][0]["bytes"] = shard.stat().st_size
    run.write_record(run.ledger("judgements") / "manifest.json", StageManifest.model_validate(manifest))
    with pytest.raises(StorageError, match="holds tasks of schema version 99") as raised:
        export_sample(run, tmp_path / "out", Trainer.TRL)
    assert "the rampforge that wrote it" in raised.value.fix


def test_messages_for_trl_say_what_template_they_need(run: RunFolder, tmp_path: Path) -> None:
    export_sample(run, tmp_path, Trainer.TRL)
    text = (tmp_path / "sft.yaml").read_text()
    assert "{% generation %}" in text.splitlines()[0]
    assert yaml.safe_load(text)["assistant_only_loss"] is True


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no run\.json"):
        export_sample(RunFolder(tmp_path / "nowhere"), tmp_path / "out", Trainer.TRL)
    with pytest.raises(ConfigError, match="tokenizer"):
        export_sample(RunFolder(tmp_path), tmp_path / "out", Trainer.OPENRLHF, max_tokens=5)
    empty = make_run(tmp_path / "empty", pages=0)
    with pytest.raises(ConfigError, match="no trajectories"):
        export_sample(empty, tmp_path / "out", Trainer.TRL)
    lonely = make_run(tmp_path / "lonely", pages=1)
    with pytest.raises(ConfigError, match="nothing to train on: all 2 rows fell into validation"):
        export_sample(lonely, tmp_path / "out", Trainer.OPENRLHF, split=0.5)
    assert not list((tmp_path / "out").glob("sft/*"))


@pytest.mark.assets
def test_messages_are_written_for_the_model_s_chat_template(run: RunFolder, tmp_path: Path) -> None:
    options: dict[str, Any] = {"tokenised": True, "template": chat_templates.THOUGHTFUL, "split": 0.0}
    export_sample(run, tmp_path / "verl", Trainer.VERL_SFT, rendering=RenderingName.QWEN_TOOLS, **options)
    row = read_table(tmp_path / "verl" / "train.parquet")[0]
    first = next(message for message in row["messages"] if message["role"] == "assistant")
    assert first["reasoning_content"] == "Which year is meant?"
    assert "<think>" not in first["content"]
    switch = "+data.apply_chat_template_kwargs.keep_past_thinking=True"
    assert switch in (tmp_path / "verl" / "overrides.txt").read_text().split("\n")
    assert "keep\\_past\\_thinking=true" in (tmp_path / "verl" / "README.md").read_text()
    with pytest.raises(ConfigError, match="keep_past_thinking"):
        export_sample(run, tmp_path / "openrlhf", Trainer.OPENRLHF, **options)
    options["template"] = chat_templates.CHANNELS
    with pytest.raises(ConfigError, match="drops earlier thoughts"):
        export_sample(run, tmp_path / "b", Trainer.VERL_SFT, rendering=RenderingName.OPENAI_TOOLS, **options)
    export_sample(run, tmp_path / "c", Trainer.TRL, rendering=RenderingName.OPENAI_TOOLS, **options)
    with pytest.raises(ChatTemplateError, match="drops the thoughts"):
        export_sample(run, tmp_path / "d", Trainer.VERL_SFT, rendering=RenderingName.QWEN_TOOLS, **options)


def test_the_card_says_what_a_template_may_do_to_messages(run: RunFolder, tmp_path: Path) -> None:
    for trainer in (Trainer.OPENRLHF, Trainer.LLAMA_FACTORY, Trainer.VERL_RL):
        export_sample(run, tmp_path / trainer, trainer)
        card = (tmp_path / trainer / "README.md").read_text("utf-8")
        assert ("rampforge templates check" in card) == (trainer is not Trainer.VERL_RL)
