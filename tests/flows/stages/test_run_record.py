"""A run's record: what is refused changes nothing, what is continued is what the ledgers say, versions are named."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.configuration.recalled_config import recall_config
from flows.configuration.run_config import load_config
from flows.configuration.run_context import RunContext
from flows.configuration.source_ledger import compare_source, list_source_records
from flows.execution.run import add_resume_command, run_stages_here
from flows.stages import ledger_checks as stage_checks
from flows.stages import library_versions as deciding_packages
from flows.stages.ledger_checks import check_stages, find_other_versions, list_settings
from flows.stages.registry import STAGES, find_spec, list_from
from pipeline.errors import ConfigError, RampforgeError, StorageError
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.seals import seal_file
from pipeline.storage.shards import read_rows
from schemas.documents import Document
from schemas.passages import Chunk, Passage
from schemas.record import content_id
from tests.support.command_line import rampforge
from tests.support.places import REPOSITORY

LIGHT = "masking.ner=null masking.scorer=null masking.selection=random corpus.pages_per_shard=10 execution.workers=2"
MODELS: dict[str, Any] = {model.dataset: model for model in (Document, Chunk, Passage)}
SETTINGS = [part for setting in LIGHT.split() for part in ("--set", setting)]


def write_pages(path: Path, count: int = 30, context: str = "Kent") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for number in range(count):
            text = f"Town {number} lies in the county of {context}. John Smith founded it in {1500 + number}. " * 4
            file.write(json.dumps({"title": f"Town {number}", "text": f"{text}It has {number * 37} people."}) + "\n")
    return path


@pytest.fixture(scope="module")
def finished(prefect_server: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("record")
    pages = write_pages(folder / "pages.jsonl")
    lines = pages.read_text().splitlines(keepends=True)
    pages.write_text("".join([*lines, *lines[:12], lines[0]]))  # whole pages come again, in other shards and in one
    code, output = rampforge(prefect_server, "run", str(pages), "--out", str(folder), "--name", "made", *SETTINGS)
    assert code == 0, output
    return folder / "made"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "made"))


def lead(
    run: Path, changes: Sequence[str] = (), stages: Sequence[str] = tuple(STAGES), redo: str | None = None
) -> None:
    """What `run` and `resume` do once Prefect has called them."""
    config = load_config(None, changes, recall_config(RunFolder(run)))
    run_stages_here(RunContext(RunFolder(run), config, run.parent), stages, redo)


def hash_files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize(
    ("changes", "redo", "told"),
    [
        (["masking.min_chars=3"], None, "stage spans .*: masking.min_chars was 2, now 3"),
        (["judging.min_fuzzy=0.5"], None, "stage judgements .*: judging.min_fuzzy was 0.9, now 0.5"),
        (["passages.max_tokens=64"], "tasks", "stage chunk .*: passages.max_tokens was 128, now 64"),
        (["agents.policy=agents"], "trajectories", "no model plays the role planner"),
        (["judging.judge=llm"], "judgements", "no model plays the role judge"),
        (["search.engine=http"], None, 'stage trajectories .*: search.engine was "bm25", now "http"'),
    ],
)
def test_a_refused_command_changes_no_byte(changes: Sequence[str], redo: str | None, told: str, run: Path) -> None:
    before = hash_files(run)
    with pytest.raises(RampforgeError, match=told) as caught:
        lead(run, changes, redo=redo)
    assert "None" not in caught.value.what
    assert hash_files(run) == before


def test_a_command_for_one_stage_is_checked_against_all_stages(run: Path) -> None:
    before = hash_files(run)
    with pytest.raises(ConfigError, match=r"judging.min_fuzzy was 0.9, now 0.5"):
        lead(run, ["judging.min_fuzzy=0.5"], ["spans", "tasks"])
    assert hash_files(run) == before


def test_what_a_ledger_has_wins_over_a_spoiled_run_json(run: Path) -> None:
    spoil_record(run)
    config = recall_config(RunFolder(run))
    assert (config.masking.min_chars, config.masking.ner, config.judging.min_fuzzy) == (2, None, 0.9)


def spoil_record(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    record["config"]["masking"] |= {"min_chars": 3, "ner": "en_core_web_sm"}
    record["config"]["judging"]["min_fuzzy"] = 0.5
    del record["sha256"]
    (run / "run.json").write_bytes(seal_file(json.dumps(record).encode()))


@pytest.mark.slow
def test_what_was_refused_or_spoiled_is_resumed(run: Path, prefect_server: Mapping[str, str]) -> None:
    code, output = rampforge(prefect_server, "mask", str(run), "--set", "masking.min_chars=3")
    assert code == 1
    assert "--name OTHER" in output
    spoil_record(run)
    shards = {name: digest for name, digest in hash_files(run).items() if name.endswith(".parquet")}
    code, output = rampforge(prefect_server, "resume", str(run))
    assert code == 0, output
    config = json.loads((run / "run.json").read_text())["config"]
    assert (config["masking"]["min_chars"], config["masking"]["ner"]) == (2, None)
    assert config["judging"]["min_fuzzy"] == 0.9
    assert {name: digest for name, digest in hash_files(run).items() if name.endswith(".parquet")} == shards


FREE = (
    "llm.roles.default.model=none",
    "llm.roles.judge.model=other",
    "judging.votes=3",
    "judging.audit=0.5",
    "agents.temperature=0.1",
    "search.web.provider=brave",
    "search.dense.encoder=other",
    "masking.max_surprisal=9",
    "masking.device=cpu",
    "masking.extractor_tokens=99",
    "policy.max_turn=99",
    "corpus.simplify_chinese=true",
)
"""What decides no row of an extractive run without models."""


def test_keys_that_decide_nothing_bind_no_run(run: Path) -> None:
    config = load_config(None, FREE, recall_config(RunFolder(run)))
    context = RunContext(RunFolder(run), config, run.parent)
    check_stages(context, list(STAGES), [])
    judged = load_config(None, ["judging.judge=llm"], config)
    check_stages(replace(context, config=judged), list(STAGES), list_from("judgements"))
    with pytest.raises(ConfigError, match=r"judging.judge was"):
        check_stages(replace(context, config=judged), list(STAGES), [])


def test_the_model_that_plays_a_role_binds_the_stage_it_plays_in() -> None:
    def settings(*changes: str) -> dict[str, str]:
        return list_settings(load_config(None, changes), find_spec("judgements"))

    judge = ("judging.judge=llm", "llm.roles.judge.model=a")
    assert settings(*judge) == settings(*judge, "llm.roles.planner.model=b")
    assert settings(*judge) != settings("judging.judge=llm", "llm.roles.judge.model=b")
    assert settings(*judge) != settings(*judge, "judging.votes=3")


VERSIONS = """
import importlib.metadata as metadata
real = metadata.version
metadata.version = lambda name: {fake}.get(name) or real(name)
"""


def upgrade(monkeypatch: pytest.MonkeyPatch, **fake: str) -> None:
    real = deciding_packages.list_versions
    monkeypatch.setattr(
        stage_checks, "list_versions", lambda names: {name: fake.get(name, was) for name, was in real(names).items()}
    )


def lose_a_shard(run: Path, stage: str) -> None:
    """Take a finished stage, and the report, back to where one of its shards is owed."""
    shutil.rmtree(run / "ledger" / "report", ignore_errors=True)
    (run / "ledger" / stage / "manifest.json").unlink()
    commit = max((run / "ledger" / stage / "shards").glob("*.json"))
    for file in json.loads(commit.read_text())["files"]:
        (run / file["dataset"] / file["name"]).unlink()
    commit.unlink()


def test_repeated_pages_have_distinct_ids(finished: Path) -> None:
    run = RunFolder(finished)
    rows = {name: [row for path in run.files(name) for row in read_rows(path, model)] for name, model in MODELS.items()}
    assert len(rows["documents"]) == 43
    for name, key in (("documents", "document_id"), ("chunks", "passage_id"), ("passages", "passage_id")):
        ids = [getattr(row, key) for row in rows[name]]
        assert len(set(ids)) == len(ids), name
    first = rows["documents"][0]
    assert first.document_id == content_id("en", first.page_id, first.title, first.text)
    assert {row.document_id for row in rows["passages"]} <= {row.document_id for row in rows["documents"][:30]}


def test_a_source_is_identified_by_the_hash_of_its_content(finished: Path, tmp_path: Path) -> None:
    pages = finished.parent / "pages.jsonl"
    whole = hashlib.sha256(pages.read_bytes()).hexdigest()
    run = RunFolder(finished)
    (record,) = list_source_records(run)
    assert record.sha256 == whole
    assert run.record().sources == {"pages.jsonl": f"{pages.stat().st_size} bytes, sha256 {whole}"}
    assert compare_source(record, str(pages), [str(pages)]) == ""
    changed = tmp_path / "pages.jsonl"
    changed.write_bytes(pages.read_bytes().replace(b"Town 7 ", b"Town 8 "))
    assert "content differs" in compare_source(record, str(changed), [str(changed)])


@pytest.mark.parametrize("package", ["rampforge", "rapidfuzz", "PyStemmer", "datasketch"])
def test_another_version_in_mid_run_is_refused(package: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_a_shard(run, "judgements")
    before = hash_files(run)
    upgrade(monkeypatch, **{package: "9.9.9"})
    with pytest.raises(ConfigError, match=rf"{package} was \S+, now 9.9.9 \(stages ") as caught:
        lead(run)
    assert "--other-version" in caught.value.fix
    assert hash_files(run) == before


def test_versions_matter_only_while_rows_are_missing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(monkeypatch, rampforge="9.9.9")
    context = RunContext(RunFolder(run), recall_config(RunFolder(run)), run.parent)
    assert find_other_versions(context, list(STAGES), []) == {}
    assert set(find_other_versions(context, list(STAGES), ["judgements", "report"])) >= {"corpus", "trajectories"}


@pytest.mark.slow
def test_another_version_resumes_on_request(run: Path, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    fake = {"rampforge": "9.9.9", "rapidfuzz": "0.0.1"}
    (tmp_path / "sitecustomize.py").write_text(VERSIONS.replace("{fake}", repr(fake)))
    upgraded = {**prefect_server, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    lose_a_shard(run, "judgements")
    assert rampforge(upgraded, "resume", str(run))[0] == 1
    code, output = rampforge(upgraded, "resume", str(run), "--other-version")
    assert code == 0, output
    made = RunFolder(run).record().made_with
    assert made["judgements"]["rampforge"].endswith(", 9.9.9")
    assert made["judgements"]["rapidfuzz"].endswith(", 0.0.1")
    assert "9.9.9" not in made["trajectories"]["rampforge"]
    lose_a_shard(run, "judgements")
    assert rampforge(upgraded, "resume", str(run))[0] == 0, "asked for once"
    lose_a_shard(run, "judgements")
    assert rampforge(prefect_server, "resume", str(run))[0] == 1, "and the way back is another version again"


def test_the_next_command_names_the_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught, add_resume_command(tmp_path / "mine"), wrap_os_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert f"`rampforge resume {tmp_path / 'mine'}`" in caught.value.fix
    assert "RUN" not in str(caught.value)


def test_a_refused_first_start_leaves_no_folder(tmp_path: Path) -> None:
    config = load_config(None, ["agents.policy=agents", f"corpus.sources=[{write_pages(tmp_path / 'a.jsonl')}]"])
    with pytest.raises(ConfigError):
        run_stages_here(RunContext(RunFolder(tmp_path / "new"), config, tmp_path), tuple(STAGES))
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with RunFolder(tmp_path / "old").locked():
        pass
    assert (tmp_path / "old").is_dir()
