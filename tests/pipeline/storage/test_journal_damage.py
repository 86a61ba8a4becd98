"""Damaged journals and sealed texts: what was written is read as it was, or is left out and done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.storage.journal import Journal
from pipeline.storage.seals import read_file, read_line, seal_file, seal_line
from pipeline.storage.shard_run import run_shard
from tests.pipeline.storage.test_shards import TITLES, RedirectStage, make_outcome, plan


def write_journal(path: Path) -> list[bytes]:
    with Journal(path) as journal:
        for title in TITLES:
            journal.record(make_outcome(title.key))
    return path.read_bytes().splitlines(keepends=True)


@given(offset=st.integers(0, 2000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_journal_costs_no_other_line(
    tmp_path_factory: pytest.TempPathFactory, offset: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "journal.jsonl"
    lines = write_journal(path)
    content = bytearray(path.read_bytes())
    offset %= len(content)
    content[offset] ^= 1 << bit
    path.write_bytes(content)
    hit = next(i for i in range(len(lines)) if offset < len(b"".join(lines[: i + 1])))
    joined = (
        {TITLES[i].key for i in (hit, hit + 1) if i < len(TITLES)}
        if offset == len(b"".join(lines[: hit + 1])) - 1
        else {TITLES[hit].key}
    )
    with Journal(path) as journal:
        lost = {title.key for title in TITLES} - journal.keys
        assert lost <= joined
        kept = [title.key for title in TITLES if title.key in journal.keys]
        original = [json.loads(line) for line in lines]
        rows = {line["key"]: [tuple(row) for row in line["rows"]] for line in original}
        assert [outcome.rows for outcome in journal.read_outcomes(kept)] == [rows[key] for key in kept]
    stage = RedirectStage()
    root = path.parent
    (root / "journals" / "demo").mkdir(parents=True)
    path.rename(root / "journals" / "demo" / "000.jsonl")
    commit = run_shard(plan(root), stage, TITLES)
    assert set(stage.worked) == lost
    assert commit.rows("redirects") == 4


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda line: b"garbage\xff\xfe\n" + line, id="garbage before"),
        pytest.param(lambda line: b"\0" * 5000 + b"\n" + line, id="NULs before"),
        pytest.param(lambda line: b"[]\n7\nnull\n{}\n" + line, id="JSON of other types"),
        pytest.param(lambda line: line + line, id="repeated"),
        pytest.param(lambda line: b'{"key":"nobody","rows":[],"funnel":[]}\n' + line, id="unknown key"),
        pytest.param(lambda line: line + b'{"key":"b","rows":[],"funnel":[]}\n', id="another line of the key"),
    ],
)
def test_damage_between_the_lines_of_a_journal_costs_nothing(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    lines = write_journal(tmp_path / "journals" / "demo" / "000.jsonl")
    lines[1] = damage(lines[1])
    (tmp_path / "journals" / "demo" / "000.jsonl").write_bytes(b"".join(lines))
    stage = RedirectStage()
    assert run_shard(plan(tmp_path), stage, TITLES) == run_shard(plan(tmp_path / "whole"), RedirectStage(), TITLES)
    assert stage.worked == []


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("title", ["notatitle\n", 5, None, ["a"]])
def test_a_changed_or_unsealed_journal_line_is_done_again(tmp_path: Path, title: object, sealed: bool) -> None:
    path = tmp_path / "journals" / "demo" / "000.jsonl"
    lines = [json.loads(line) for line in write_journal(path)]
    lines[1]["rows"][0][1]["title"] = title
    if not sealed:
        del lines[1]["crc"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    stage = RedirectStage()
    assert run_shard(plan(tmp_path), stage, TITLES) == run_shard(plan(tmp_path / "whole"), RedirectStage(), TITLES)
    assert "b" in stage.worked


@given(
    text=st.dictionaries(st.text(), st.integers(-100, 100) | st.text(), min_size=1),
    at=st.integers(0),
    to=st.binary(min_size=1, max_size=1),
)
def test_a_sealed_text_is_read_as_written_or_not_at_all(text: dict[str, object], at: int, to: bytes) -> None:
    """One byte of a text may be any other: what it says is what was written, or it is refused."""
    value = {"key": "k", **{f"_{key}": inner for key, inner in text.items()}}
    body = json.dumps(value).encode()
    for seal, read in ((seal_line, read_line), (seal_file, read_file)):
        sealed = seal(body + b"\n")
        assert read(sealed) == value
        assert json.loads(sealed).items() > value.items()
        changed = bytearray(sealed)
        changed[at % len(sealed) : at % len(sealed) + 1] = to
        try:
            found = read(bytes(changed))
        except ValueError:
            continue
        assert found == value
