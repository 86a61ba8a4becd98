"""Session traces: a file a trajectory, its first line the session, the others messages."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.exporting.table_files import SessionFiles
from schemas.exports import Trainer
from tests.support.export_samples import export_sample, make_run


def test_each_trajectory_is_a_session_of_the_hub(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    stale = tmp_path / "out" / "train" / "stale.jsonl"
    stale.parent.mkdir(parents=True)
    stale.touch()
    (tmp_path / "out" / "statistics.json").touch()  # of an earlier export
    done = export_sample(run, tmp_path / "out", Trainer.SESSION_TRACES)
    assert sum(done.files.values()) == 24
    assert not stale.exists()
    paths = sorted((tmp_path / "out").glob("*/*.jsonl"))
    assert len(paths) == 24
    for path in paths:
        header, *lines = map(json.loads, path.read_text("utf-8").splitlines())
        assert (header["type"], header["harness"], header["id"]) == ("session", "rampforge", path.stem)
        assert {line["type"] for line in lines} == {"message"}
        messages = [line["message"] for line in lines]
        assert {frozenset(message) - {"role", "content"} for message in messages} == {
            frozenset(),
            frozenset({"reasoningContent", "toolCalls"}),
            frozenset({"toolCallId"}),
            frozenset({"reasoningContent"}),
        }
        calls = [call for message in messages for call in message.get("toolCalls", ())]
        assert [call["id"] for call in calls] == [m["toolCallId"] for m in messages if m["role"] == "tool"]
        assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in calls)
    first = {path.name: path.read_bytes() for path in paths}
    export_sample(run, tmp_path / "again", Trainer.SESSION_TRACES)
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").glob("*/*.jsonl")} == first


def test_an_id_names_no_other_folder(tmp_path: Path) -> None:
    with SessionFiles(tmp_path / "train") as files:
        files.append({"id": "../out", "lines": [{}]})
        files.append({"id": "a" * 300, "lines": [{}]})
    assert len(list((tmp_path / "train").iterdir())) == 2
    assert len(list(tmp_path.iterdir())) == 1
