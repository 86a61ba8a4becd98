"""Objects on an S3-compatible server: whole or not at all, decided by the store; every fault is one clear line."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, StorageError
from pipeline.storage.remote.object_store import ObjectStore
from pipeline.storage.remote.open_run import find_working_folder, join_location, name_run, open_run
from schemas.config import RunConfig
from schemas.locations import find_secret, is_url
from tests.support.s3_server import BUCKET, S3Server, own_server, s3, s3_server, speak_to

__all__ = ["own_server", "s3", "s3_server"]


def test_objects_are_written_read_listed_and_removed(s3: str, tmp_path: Path) -> None:
    store = ObjectStore(s3)
    assert store.read("a/b.json") is None
    assert store.find() == {}
    store.write("a/b.json", b"one")
    store.write("a/c/d.json", b"three")
    store.write("ab", b"")
    assert store.read("a/b.json") == b"one"
    assert {key: entry.size for key, entry in store.find("a").items()} == {"a/b.json": 3, "a/c/d.json": 5}
    assert store.list_folders("a") == ["c"]
    assert store.download("a/b.json", tmp_path / "deep" / "b.json")
    assert (tmp_path / "deep" / "b.json").read_bytes() == b"one"
    assert not store.download("nowhere", tmp_path / "nowhere")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["b.json"], "nothing half-made is left"
    store.delete(["a/b.json", "never there"])
    assert list(store.find()) == ["a/c/d.json", "ab"]


def test_of_many_that_create_one_object_one_succeeds(s3: str) -> None:
    store = ObjectStore(s3)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: store.create("lock", b"%d" % number), range(8)))
    assert sum(made) == 1
    assert store.read("lock") == b"%d" % made.index(True)


def test_missing_bucket_is_said(s3: str) -> None:
    store = ObjectStore("s3://no-such-bucket/run")
    with pytest.raises(StorageError, match="the bucket does not exist"):
        store.write("x", b"")
    with pytest.raises(StorageError, match="the bucket does not exist"):
        store.create("x", b"")


def test_bucket_that_may_only_be_read_refuses_a_run_at_once(
    own_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with speak_to(own_server, monkeypatch, **own_server.make_reader()):
        run = open_run(f"s3://{BUCKET}/run", tmp_path)
        with pytest.raises(StorageError, match="denies") as caught, run.locked():
            pytest.fail("work was begun")
        assert "write" in caught.value.fix


def test_missing_credentials_are_said(own_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with speak_to(own_server, monkeypatch, HOME=str(tmp_path)):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StorageError, match="no credentials") as caught:
            ObjectStore(f"s3://{BUCKET}/run").write("x", b"")
    assert "AWS_ACCESS_KEY_ID" in caught.value.fix


def test_store_that_is_gone_is_asked_again_and_then_given_up(own_server: S3Server) -> None:
    store = ObjectStore(f"s3://{BUCKET}/run", patience=0)
    store.write("x", b"1")
    own_server.stop()
    with pytest.raises(StorageError, match="does not answer") as caught:
        store.read("x")
    assert "rampforge resume" in caught.value.fix


@pytest.mark.parametrize(
    ("url", "said"),
    [("gs://bucket/run", "gcsfs"), ("nosuch://bucket/run", "not known"), ("s3://key:secret@bucket/run", "password")],
)
def test_url_that_cannot_be_opened_says_why(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        open_run(url, tmp_path)
    assert "secret@" not in str(caught.value)


SECRETS: list[tuple[str, bool]] = [
    ("s3://bucket/dump.xml", False),
    ("s3://user@bucket/dump.xml", True),
    ("https://host/dump.xml?X-Amz-Signature=abc&X-Amz-Credential=x", True),
    ("https://host/dump.xml?sv=1&sig=abc", True),
    ("https://host/dump.xml?version=3", False),
    ("outputs/a@b", False),
    ("hf:wikimedia/wikipedia/20231101.en", False),
]


@pytest.mark.parametrize(("url", "secret"), SECRETS)
def test_secret_in_a_url_is_found_and_never_reaches_the_configuration(url: str, secret: bool) -> None:
    assert (find_secret(url) is not None) == secret
    make: Callable[[], RunConfig] = lambda: RunConfig.model_validate({"corpus": {"sources": [url]}})  # noqa: E731
    if secret:
        with pytest.raises(ValueError, match="a URL carries"):
            make()
    else:
        assert make().corpus.sources == (url,)


@given(st.lists(st.from_regex(r"[A-Za-z0-9 ._=-]{1,20}", fullmatch=True), min_size=1, max_size=4), st.booleans())
def test_each_url_has_a_working_folder_of_its_own(parts: list[str], slash: bool) -> None:
    url = "s3://bucket/" + "/".join(parts)
    folder = find_working_folder(url + "/" * slash, Path("cache"))
    assert folder == find_working_folder(url, Path("cache"))
    assert folder.parent == Path("cache/runs")
    assert folder != find_working_folder(url + "x", Path("cache"))
    assert is_url(url)
    assert not is_url(str(folder))


def test_locations_are_joined_and_named_here_and_there() -> None:
    assert join_location("s3://bucket/outputs/", "demo") == "s3://bucket/outputs/demo"
    assert join_location("outputs", "demo") == "outputs/demo"
    assert name_run("s3://bucket/outputs/demo/") == name_run("outputs/demo") == "demo"
    assert not is_url("file:///tmp/x")
