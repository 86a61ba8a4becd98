"""Bad input through the command line: one line that says what is wrong, the next command, never a traceback."""

from __future__ import annotations

import bz2
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.storage.run_folder import RunFolder
from tests.support.command_line import rampforge
from tests.support.s3_server import BUCKET, S3Server, own_server
from tests.support.sample_dump import HEAD, write_dump

__all__ = ["own_server"]

NO_MODELS = ["--set", "masking.ner=null", "--set", "masking.scorer=null", "--set", "masking.selection=random"]


def run_on(environment: Mapping[str, str], source: Path, out: Path, *more: str) -> str:
    """Run the job on a source that must fail; what was printed."""
    code, output = rampforge(environment, "run", str(source), "--out", str(out), *NO_MODELS, *more)
    assert code == 1, output
    assert "Traceback" not in output
    assert "error: " in output
    assert not list(out.rglob("*.tmp"))
    return " ".join(output.split())


def test_truncated_dump(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    whole = write_dump(tmp_path / "whole.xml.bz2", towns=60).read_bytes()
    cut = tmp_path / "cut.xml.bz2"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    output = run_on(prefect_server, cut, tmp_path / "out")
    assert "cut.xml.bz2" in output
    assert "next: " in output


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.xml.bz2", bz2.compress((HEAD + "</mediawiki>").encode())),
        ("nothing.xml", b""),
        ("text.xml", b"this is not XML"),
        ("broken.xml.bz2", b"BZh9 this is not bzip2"),
        ("half.parquet", b"PAR1 half a file"),
    ],
)
def test_sources_that_hold_no_pages(
    name: str, content: bytes, prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    source = tmp_path / name
    source.write_bytes(content)
    assert name in run_on(prefect_server, source, tmp_path / "out")


def test_missing_source(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    assert "does not exist" in run_on(prefect_server, tmp_path / "none.xml", tmp_path / "out")


def test_unknown_key(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump.xml.bz2", towns=5)
    output = run_on(prefect_server, dump, tmp_path / "out", "--set", "search.depth=3")
    assert "unknown key search.depth" in output
    assert not (tmp_path / "out").exists()


def test_output_folder_that_cannot_be(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump.xml.bz2", towns=5)
    (tmp_path / "file").write_text("")
    assert "a file stands where a folder is needed" in run_on(prefect_server, dump, tmp_path / "file" / "out")


def test_two_runs_on_one_folder(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump.xml.bz2", towns=5)
    with RunFolder(tmp_path / "out" / "one").locked():
        assert "another rampforge is at work here" in run_on(prefect_server, dump, tmp_path / "out", "--name", "one")
    assert not (tmp_path / "out" / "one" / "documents").exists()


def test_a_ray_address_where_nobody_listens(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    pytest.importorskip("ray")
    dump = write_dump(tmp_path / "dump.xml.bz2", towns=5)
    cluster = ["--engine", "ray", "--ray-address", "127.0.0.1:9"]
    assert "cannot connect" in run_on(prefect_server, dump, tmp_path / "out", *cluster)
    assert not (tmp_path / "out").exists()


def test_a_store_that_takes_nothing(prefect_server: Mapping[str, str], own_server: S3Server, tmp_path: Path) -> None:
    """A bucket that may only be read; then no credentials at all."""
    dump = write_dump(tmp_path / "dump.xml.bz2", towns=5)
    here = {**prefect_server, **own_server.environment, "RAMPFORGE_CACHE": str(tmp_path / "cache")}
    words = ("run", str(dump), "--out", f"s3://{BUCKET}/out", "--name", "one", *NO_MODELS)
    keyless = {name: value for name, value in here.items() if not name.startswith("AWS_ACCESS")}
    stranger = keyless | {"HOME": str(tmp_path)}
    for environment, said in (({**here, **own_server.make_reader()}, "denies"), (stranger, "no credentials")):
        code, output = rampforge(environment, *words)
        assert code == 1, output
        assert said in " ".join(output.split())
        assert "next: " in output
        assert "Traceback" not in output


@pytest.mark.parametrize(("command", "said"), [("resume", "no run.json here"), ("report", "is not a run")])
def test_a_command_over_no_run(prefect_server: Mapping[str, str], tmp_path: Path, command: str, said: str) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "run.json").touch()
    code, output = rampforge(prefect_server, command, str(tmp_path / "dmeo"))
    assert code == 1
    assert said in output
    assert str(tmp_path / "demo") in output


def test_a_dump_without_articles_ends_with_an_empty_corpus_and_a_reason(
    prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    page = "<page><title>A</title><ns>0</ns><id>1</id><revision><id>2</id><text>short</text></revision></page>"
    dump = tmp_path / "short.xml.bz2"
    dump.write_bytes(bz2.compress((HEAD + page + "</mediawiki>").encode()))
    output = run_on(prefect_server, dump, tmp_path / "out")
    assert "no page became a document" in output
    assert "too_short, 1 of 1" in output


def test_rows_of_no_known_layout_fail_with_their_keys(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"doc": 1, "body": "Some text."}\n' * 5)
    assert "broken_text, 5 of 5, such as no title and text; keys seen: body, doc" in run_on(
        prefect_server, rows, tmp_path / "out"
    )


def test_a_source_of_no_known_format_is_named_before_any_page(
    prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    dump = write_dump(tmp_path / "dump.xml.bz2", towns=5)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    output = run_on(prefect_server, dump, tmp_path / "out", str(tmp_path / "a.pdf"))
    assert "a.pdf has an unknown format" in output
    assert not list((tmp_path / "out").rglob("*.parquet"))
