"""The whole job with its run on an S3-compatible server: killed, gone on with on another machine, refused, cut off."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.remote.open_run import open_run
from pipeline.storage.run_folder import RunFolder
from schemas.store_config import StoreConfig
from tests.pipeline.storage.test_remote_run import do_stage, read_folder, read_store
from tests.runs.test_whole_run import SETTINGS, dump, hash_shards, whole_run
from tests.support.command_line import rampforge, start
from tests.support.cut_off import CutOff
from tests.support.s3_server import BUCKET, S3Server, s3, s3_server, speak_to

__all__ = ["dump", "s3", "s3_server", "whole_run"]


def wait_until(there: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not there() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert there()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_run_goes_on_on_another_machine_and_ends_with_the_same_bytes(
    prefect_server: Mapping[str, str], s3_server: S3Server, s3: str, dump: Path, whole_run: Path, tmp_path: Path
) -> None:
    environment = {**prefect_server, **s3_server.environment}
    machines = [environment | {"RAMPFORGE_CACHE": str(tmp_path / name)} for name in ("one", "two", "three")]
    run, store = f"{s3}/whole", ObjectStore(f"{s3}/whole")
    words = ("run", str(dump), "--out", s3, "--name", "whole", *SETTINGS, "--set", "store.lease=8")
    first = start(machines[0], *words)
    wait_until(lambda: any("tasks/shards" in key for key in store.find("ledger")) or first.poll() is not None)
    code, output = rampforge(machines[1], *words)
    assert code == 1
    assert "another rampforge is at work here" in output
    first.send_signal(signal.SIGKILL)
    first.wait()
    code, output = rampforge(machines[1], "resume", run)
    assert code == 0, output
    store_files = {key: content for key, content in read_store(run).items() if key.endswith(".parquet")}
    assert {key for key in store_files if not key.startswith("ledger")} == set(hash_shards(whole_run))
    for key, content in store_files.items():
        assert content == (whole_run / key).read_bytes(), key
    for name in ("run.json", "ledger/corpus/stage.json", ".leases/00000002"):
        assert b"hush-hush" not in (store.read(name) or b"")
    code, output = rampforge(machines[2], "search", "query", "town", "--index", run)
    assert code == 0, output
    code, output = rampforge(machines[2], "export", run, "--to", "trl", "--rendering", "qwen-tools", "--shortcuts")
    assert code == 0, output
    assert "exports/trl/README.md" in store.find("exports")


def test_short_cut_off_is_waited_out_and_a_long_one_ends_the_run_resumably(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    do_stage(RunFolder(tmp_path / "here"))
    way = CutOff(int(s3_server.url.rpartition(":")[2]))
    url = f"s3://{BUCKET}/{tmp_path.name}"
    with speak_to(s3_server, monkeypatch, AWS_ENDPOINT_URL=way.url, AWS_MAX_ATTEMPTS="1"):
        run = open_run(url, tmp_path / "one", StoreConfig(lease=60, patience=30))
        upload, cuts = ObjectStore.upload, [way.shut]

        def cut(self: ObjectStore, path: Path, key: str) -> None:
            while cuts:
                cuts.pop()()
                threading.Timer(1.0, way.reopen).start()
            upload(self, path, key)

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "upload", cut)
            do_stage(run)
        assert read_store(url) == read_folder(tmp_path / "here")

        def cut_for_good(self: ObjectStore, path: Path, key: str) -> None:
            way.shut()
            upload(self, path, key)

        other = f"{url}-other"
        impatient = open_run(other, tmp_path / "one", StoreConfig(lease=60, patience=0))
        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "upload", cut_for_good)
            with pytest.raises(StorageError, match="does not answer") as caught:
                do_stage(impatient)
        assert "rampforge resume" in caught.value.fix
        way.reopen()
        do_stage(open_run(other, tmp_path / "one", StoreConfig(lease=60, patience=0)))
        assert read_store(other) == read_folder(tmp_path / "here")
