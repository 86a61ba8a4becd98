"""Files of rows: lines or one document, whatever their first line and their size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.importing import reading
from pipeline.importing.errors import RowError
from pipeline.importing.reading import read_rows


@pytest.mark.parametrize("damaged", ['{"question": "Wh', "{", '[{"question"', "{]"])
def test_a_large_file_of_lines_may_begin_with_a_damaged_one(
    damaged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_CHARS", 1000)
    good = [{"question": f"Who {number}?", "golden_answers": ["x" * 300]} for number in range(6)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([damaged, *map(json.dumps, good)]))
    first, *others = read_rows(path)
    assert isinstance(first, RowError)
    assert others == good


@pytest.mark.parametrize("indent", [None, 1, 0])
def test_a_large_document_is_no_file_of_lines(
    indent: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_CHARS", 1000)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"question": "Who?", "golden_answers": ["x" * 300]}] * 6, indent=indent))
    with pytest.raises(SourceError):
        list(read_rows(path))
