"""Inspecting what lies in an object store: read where it lies, from a real S3 server of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.cli.inspect_web import read_job
from pipeline.errors import RampforgeError
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.locations import open_location
from pipeline.inspecting.web.app import PageServices, build_app
from tests.support.inspect_samples import make_poisoned_run, make_run

pytestmark = pytest.mark.processes

BUCKET = "s3://lake/outputs"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    threaded = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    threaded.start()
    host, port = threaded.get_host_and_port()
    yield f"http://{host}:{port}"
    threaded.stop()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same two runs on disk."""
    folder = tmp_path_factory.mktemp("outputs")
    make_run(folder / "harbour [light]")
    make_poisoned_run(folder / "poisoned")
    return folder


@pytest.fixture(scope="module")
def bucket(server: str, here: Path) -> Iterator[str]:
    """Two runs in a bucket."""
    settings = {"ENDPOINT_URL": server, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "sesame"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (settings | {"DEFAULT_REGION": "us-east-1"}).items():
            patch.setenv(f"AWS_{name}", value)
        store = open_store()
        store.mkdir("s3://lake")
        for path in (path for path in here.rglob("*") if path.is_file()):
            store.pipe_file(f"{BUCKET}/{path.relative_to(here).as_posix()}", path.read_bytes())
        yield BUCKET


def open_store() -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("s3", use_listings_cache=False)


def inspect(*words: str) -> Result:
    return CliRunner().invoke(app, ["inspect", *words])


def test_run_in_a_store_is_read_in_place(bucket: str, here: Path) -> None:
    run, same = f"{bucket}/harbour [light]", str(here / "harbour [light]")
    disk, there = (json.loads(inspect(where, "--json").stdout) for where in (same, run))
    assert there.pop("path") == run
    disk.pop("path")
    assert there == disk
    asked = ["--where", "accepted AND masks = 1", "--json"]
    rows = json.loads(inspect(run, *asked).stdout)
    assert rows["rows"] == json.loads(inspect(same, *asked).stdout)["rows"] != []
    assert len(json.loads(inspect(run, "--sample", "5", "--json").stdout)["rows"]) == 5
    assert {row["dataset"] for row in json.loads(inspect(run, "--row", "try003", "--json").stdout)} == {
        "trajectories", "judgements",
    }  # fmt: skip
    assert json.loads(inspect(run, "--diff", same, "--json").stdout)["rows"] == []
    assert "VARCHAR" in inspect(f"{run}/tasks/part-0000.parquet").stdout
    assert "masked_text" in inspect(f"{run}/tasks").stdout


def test_runs_in_a_store_are_shown_as_pages(bucket: str) -> None:
    around = PageServices(clock=lambda: 0.0, now=lambda: "", read_live=read_job, timeout=120.0)
    client = TestClient(build_app(open_location(bucket), "token", around), "http://127.0.0.1", follow_redirects=False)
    client.get("/", params={"token": "token"})
    listed = client.get("/").text
    assert "harbour [light]" in listed
    assert "no stage has finished yet" not in listed  # run.json was read
    run = "/harbour%20%5Blight%5D"
    assert "<b>24</b> attempts" in client.get(f"{run}/attempts").text
    assert client.get(f"{run}/attempts/try001").status_code == 200
    assert "copy the run first" in client.post(f"{run}/attempts/try001/review", data={"mark": "good"}).text
    for page in ("", "charts", "live", "reviews", "data/tasks", "rows?id=try001", "download?format=csv"):
        assert client.get(f"{run}/{page}").status_code == 200
    assert "<script>" not in client.get("/poisoned/attempts/try001").text


@pytest.mark.parametrize(
    "where",
    [
        "EXISTS (FROM read_parquet('s3://lake/outputs/poisoned/tasks/part-0000.parquet'))",
        "EXISTS (FROM read_text('s3://lake/outputs/harbour [light]/run.json'))",
        "EXISTS (FROM glob('s3://lake/*'))",
        "EXISTS (FROM read_text('/etc/passwd'))",
        "true); COPY tasks TO 's3://lake/stolen.parquet'; SELECT (1",
    ],
)
def test_a_condition_reads_no_other_object(bucket: str, where: str) -> None:
    result = inspect(f"{bucket}/harbour [light]", "--where", where)
    assert isinstance(result.exception, InspectError)
    assert not open_store().exists("s3://lake/stolen.parquet")


def test_a_half_written_object_is_named_and_skipped(bucket: str) -> None:
    store = open_store()
    store.pipe_file(f"{bucket}/harbour [light]/tasks/part-0009.parquet", b"PAR1 and no more")
    store.pipe_file(f"{bucket}/harbour [light]/ledger/../manifest.json", b"{}")  # a key may look like a way out
    told = inspect(f"{bucket}/harbour [light]", "--json")
    assert told.stderr.count("skipped") == 1
    assert "part-0009.parquet" in told.stderr
    store.rm_file(f"{bucket}/harbour [light]/tasks/part-0009.parquet")


@pytest.mark.parametrize(
    "where",
    [
        "{bucket}/nothing",
        "s3://no-such-bucket/run",
        "s3://user:sesame@lake/outputs",
        "nosuch://lake/run",
        "{bucket}/a.parquet",
    ],
)
def test_empty_address_is_a_one_line_error(bucket: str, where: str) -> None:
    result = inspect(where.format(bucket=bucket))
    assert isinstance(result.exception, RampforgeError)
    assert "sesame" not in str(result.exception)
    assert "\n" not in result.exception.what
