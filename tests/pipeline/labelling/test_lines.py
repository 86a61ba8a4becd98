"""Files of labels: whatever they unpack to, no more than a bounded part of it is held."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.labelling.lines import MOST_BYTES, read_lines


@pytest.mark.parametrize("unit", [b"\n", b" ", b'{"mask": "a"}\n'])
def test_a_file_that_unpacks_to_more_than_is_allowed_is_refused(unit: bytes, tmp_path: Path) -> None:
    bomb = tmp_path / "labels.jsonl.gz"
    with gzip.open(bomb, "wb") as file:
        block = unit * ((1 << 20) // len(unit))
        for _ in range(4 * MOST_BYTES // len(block)):
            file.write(block)
    tracemalloc.start()
    with pytest.raises(ConfigError, match="more than"):
        list(read_lines(bomb))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * MOST_BYTES


def test_a_cut_file_is_damaged_and_a_whole_one_is_not(tmp_path: Path) -> None:
    packed = gzip.compress(b"\xef\xbb\xbfone\n\ntwo\n")
    (tmp_path / "whole").write_bytes(packed)
    assert list(read_lines(tmp_path / "whole")) == [(1, b"one"), (3, b"two")]
    for cut in (packed[:-3], packed[:12], packed[:-8] + bytes(8)):
        (tmp_path / "cut").write_bytes(cut)
        with pytest.raises(ConfigError, match="damaged gzip"):
            list(read_lines(tmp_path / "cut"))
