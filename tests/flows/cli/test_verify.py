"""`rampforge verify` on small runs: every changed bit is found and named, and repair keeps what is sound."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.verify import look
from flows.stages.registry import list_models
from pipeline.errors import StorageError
from pipeline.inspecting.shard_listing import list_shards
from pipeline.storage.journal import Journal
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.remote.open_run import open_run
from pipeline.storage.run_files import open_files
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.seals import seal_line
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.stage_ledger import close_stage, open_stage
from pipeline.storage.verification.files import verify_files
from pipeline.storage.verification.repair import repair_run
from pipeline.storage.verification.rows import check_reference
from schemas.arrow import arrow_schema
from schemas.documents import Redirect
from schemas.verification import FileFault, Verification, VerificationFinding
from tests.pipeline.storage.test_remote_run import QUICK
from tests.pipeline.storage.test_shards import TITLES, RedirectStage, Title, make_outcome
from tests.support.passage_samples import draw_passages
from tests.support.report_samples import make_record
from tests.support.s3_server import s3, s3_server
from tests.support.search_samples import write_index

__all__ = ["s3", "s3_server"]
SHARDS = ("000", "001")


def finish(run: RunFolder) -> None:
    """One stage of two shards, and run.json; what is there already is kept."""
    open_stage(run, "demo", {"seed": "0"}, None)
    for shard in SHARDS:
        titles = [Title(f"{title.key}{shard}") for title in TITLES]
        run_shard(ShardPlan(run, "demo", shard, (Redirect,), {"stage": "demo"}), RedirectStage(), titles)
    if run.find_manifest("demo") is None:
        close_stage(run, "demo", SHARDS)
    run.write_record(run.root / "run.json", make_record())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verified") / "whole"
    finish(RunFolder(root))
    shutil.copytree(write_index(tmp_path_factory.mktemp("built"), draw_passages(20)), root / "index")
    with Journal(root / "journals" / "other" / "000.jsonl") as journal:
        for title in TITLES:
            journal.record(make_outcome(title.key))
    return root


def check(root: Path, *, quick: bool = False) -> Verification:
    run = RunFolder(root)
    return verify_files(open_files(run), run.location, quick=quick, note=lambda _: None)


def harmful(found: Verification) -> list[VerificationFinding]:
    return [finding for finding in found.findings if not finding.harmless]


def test_a_sound_run_is_sound(whole: Path) -> None:
    found = check(whole)
    assert found.findings == ()
    assert found.sound
    assert found.files == sum(path.is_file() for path in whole.rglob("*"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_one_flipped_bit_anywhere_is_found(whole: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(path for path in whole.rglob("*") if path.is_file())))
    content = path.read_bytes()
    offset = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[offset] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    try:
        found = check(whole)
    finally:
        path.write_bytes(content)
    name = path.relative_to(whole).as_posix()
    if path.suffix == ".jsonl" and offset == len(content) - 1:
        return  # a last line without its end is that of a writer at work
    assert name in {finding.file for finding in found.findings}
    assert not found.sound


def test_files_of_damaged_records_are_unproven_and_no_foreign_ones(whole: Path, tmp_path: Path) -> None:
    """Nobody can say any more whether these are sound: none may be called foreign, or go unnamed."""
    root = tmp_path / "run"
    shutil.copytree(whole, root)
    for name in ("ledger/demo/manifest.json", "ledger/demo/shards/000.json", "index/bm25/about.json"):
        (root / name).write_bytes(b"{")
    (root / "redirects" / "part-zzz.parquet").write_bytes(b"not ours")
    found = {finding.file: finding.fault for finding in check(root).findings}
    unproven = {name for name, fault in found.items() if fault is FileFault.UNPROVEN}
    index = {f"index/bm25/{path.name}" for path in (root / "index" / "bm25").iterdir()} - {"index/bm25/about.json"}
    assert unproven == {"redirects/part-000.parquet", "rejects/part-demo-000.parquet", *index}
    assert [name for name, fault in found.items() if fault is FileFault.FOREIGN] == ["redirects/part-zzz.parquet"]


DAMAGED, MISSING = FileFault.DAMAGED, FileFault.MISSING
DAMAGES: dict[str, tuple[str, Callable[[Path], object], FileFault]] = {
    "shard deleted": ("redirects/part-000.parquet", Path.unlink, MISSING),
    "shard cut": ("redirects/part-000.parquet", lambda p: p.write_bytes(p.read_bytes()[:-9]), DAMAGED),
    "shard longer": ("rejects/part-demo-001.parquet", lambda p: p.write_bytes(p.read_bytes() + b"\0"), DAMAGED),
    "shard noise": ("redirects/part-001.parquet", lambda p: p.write_bytes(b"\x55" * p.stat().st_size), DAMAGED),
    "shard empty": ("redirects/part-001.parquet", lambda p: p.write_bytes(b""), DAMAGED),
    "commit deleted": ("ledger/demo/shards/000.json", Path.unlink, MISSING),
    "commit empty": ("ledger/demo/shards/000.json", lambda p: p.write_bytes(b""), DAMAGED),
    "commit of NULs": ("ledger/demo/shards/001.json", lambda p: p.write_bytes(b"\0" * 300), DAMAGED),
    "commit cut": ("ledger/demo/shards/001.json", lambda p: p.write_bytes(p.read_bytes()[:40]), DAMAGED),
    "manifest cut": ("ledger/demo/manifest.json", lambda p: p.write_bytes(p.read_bytes()[:99]), DAMAGED),
    "manifest of another type": ("ledger/demo/manifest.json", lambda p: p.write_text('{"stage": 5}'), DAMAGED),
    "start deleted": ("ledger/demo/stage.json", Path.unlink, MISSING),
    "start a list": ("ledger/demo/stage.json", lambda p: p.write_text("[1]"), DAMAGED),
    "record deleted": ("run.json", Path.unlink, MISSING),
    "record NULs": ("run.json", lambda p: p.write_bytes(b"\0" * 5000), DAMAGED),
    "record rewritten": ("run.json", lambda p: p.write_text(json.dumps(json.loads(p.read_text()))), DAMAGED),
    "journal garbage": (
        "journals/other/000.jsonl", lambda p: p.write_bytes(b"\xff\xfe!\n" + p.read_bytes()), FileFault.DAMAGED
    ),
    "journal wrong type": (
        "journals/other/000.jsonl", lambda p: p.write_bytes(b"[5]\n7\n" + p.read_bytes()), FileFault.DAMAGED
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_each_damage_is_named_and_mended(whole: Path, tmp_path: Path, kind: str) -> None:
    name, damage, fault = DAMAGES[kind]
    root = tmp_path / "run"
    shutil.copytree(whole, root)
    (root / "redirects" / "part-zzz.parquet").write_bytes(b"not ours")
    damage(root / name)
    found = check(root)
    assert [(finding.file, finding.fault) for finding in harmful(found)] == [(name, fault)]
    assert f"rampforge verify {root} --repair" in harmful(found)[0].fix
    assert [finding.file for finding in found.findings if finding.fault is FileFault.FOREIGN] == [
        "redirects/part-zzz.parquet"
    ]
    run = RunFolder(root)
    assert repair_run(run, found.findings)
    finish(run)
    again = check(root)
    assert again.sound, again.findings
    for path in whole.glob("re*/*.parquet"):
        assert (root / path.relative_to(whole)).read_bytes() == path.read_bytes()
    assert (root / "redirects" / "part-zzz.parquet").read_bytes() == b"not ours", "a foreign file is left alone"


def test_a_shard_that_is_not_of_its_size_is_refused_by_readers(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(whole, root)
    run, path = RunFolder(root), root / "redirects" / "part-000.parquet"
    (root / "redirects" / "part-zzz.parquet").write_bytes(b"not ours")
    assert [file.name for file in run.files("redirects")] == ["part-000.parquet", "part-001.parquet"]
    path.write_bytes(path.read_bytes()[:-1])
    for read in (lambda: run.part("redirects", "000", "demo"), lambda: run.files("redirects")):
        with pytest.raises(StorageError, match=r"part-000\.parquet: damaged") as caught:
            read()
        assert f"rampforge verify {root} --repair" in caught.value.fix
    path.unlink()
    with pytest.raises(StorageError, match=r"part-000\.parquet: missing"):
        run.check_sizes(run.manifest("demo"))


def test_inspect_names_what_the_ledger_does_not_vouch_for(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(whole, root)
    assert list_shards(root).broken == ()
    shutil.copy(root / "redirects" / "part-000.parquet", root / "redirects" / "part-zzz.parquet")
    (root / "redirects" / "part-001.parquet").unlink()
    (root / "rejects" / "part-demo-000.parquet").write_bytes(b"PAR1")
    listing = list_shards(root)
    assert {broken.name for broken in listing.broken} == {
        "redirects/part-zzz.parquet", "redirects/part-001.parquet", "rejects/part-demo-000.parquet",
    }  # fmt: skip
    assert [shard.file.name for shard in listing.datasets["redirects"]] == ["redirects/part-000.parquet"]


def test_every_reference_between_datasets_can_be_compared() -> None:
    models = list_models()
    with duckdb.connect() as database:
        for model in models.values():
            database.register(model.dataset, arrow_schema(model).empty_table())
        references = [(model, *pair) for model in models.values() for pair in model.references.items()]
        assert len(references) >= 9
        for model, column, target in references:
            assert list(check_reference(database, model, column, models[target], "stage")) == []


def test_quick_compares_sizes_alone(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(whole, root)
    path = root / "index" / "bm25" / "scores.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    assert check(root, quick=True).sound
    assert [finding.file for finding in harmful(check(root))] == ["index/bm25/scores.npy"]
    path.write_bytes(path.read_bytes()[:-1])
    assert not check(root, quick=True).sound


def test_the_command_exits_with_1_for_damage_alone(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(whole, root)
    (root / "ledger" / "demo" / "notes.txt").write_text("mine")
    told = CliRunner().invoke(app, ["verify", str(root), "--json"])
    assert told.exit_code == 0
    assert json.loads(told.stdout)["sound"] is True
    assert [finding["fault"] for finding in json.loads(told.stdout)["findings"]] == ["foreign"]
    (root / "rejects" / "part-demo-000.parquet").unlink()
    told = CliRunner().invoke(app, ["verify", str(root), "--quick"])
    assert told.exit_code == 1
    assert "rejects/part-demo-000.parquet" in told.stdout
    assert isinstance(CliRunner().invoke(app, ["verify", str(tmp_path / "nope")]).exception, StorageError)


def test_a_run_on_a_store_is_verified_where_it_is(s3: str, tmp_path: Path) -> None:
    run = open_run(s3, tmp_path / "one", QUICK)
    with run.locked("us"):
        finish(run)
    assert look(run, quick=False, deep=False).sound
    store, key, sound = ObjectStore(s3), "redirects/part-000.parquet", seal_line(b'{"key":"a","reply":1}\n')
    whole = store.read(key) or b""
    store.write(key, whole[:-1] + b"\x00")
    store.write("ledger/demo/shards/001.json", b"{")
    store.write("calls/demo/000.jsonl/0000000000000000", sound + b"garbage\n")
    found = look(open_run(s3, tmp_path / "two", QUICK), quick=False, deep=False)
    assert {finding.file for finding in harmful(found)} == {
        key, "ledger/demo/shards/001.json", "calls/demo/000.jsonl/0000000000000000",
    }  # fmt: skip
    assert f"rampforge verify {s3} --repair" in harmful(found)[0].fix
    mended = open_run(s3, tmp_path / "two", QUICK)
    with mended.locked("us"):
        repair_run(mended, found.findings)
        finish(mended)
    assert look(mended, quick=False, deep=False).sound
    assert store.read(key) == whole
    assert store.read("calls/demo/000.jsonl/0000000000000000") == sound + b"       \n"
