"""One query in each search: what other trainers' loops would send, and all that it found."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.rendering.transcript import QuerySplit, TranscriptError, transcribe
from pipeline.storage.run_folder import RunFolder
from schemas.exports import Trainer
from schemas.renderings import RenderingName, ShownDocument
from schemas.trajectories import Hit, SearchCall, SearchStatus
from tests.support.export_samples import export_sample, make_run, read_table
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

TAGGED = pytest.mark.parametrize("rendering", [RenderingName.SEARCH_R1, RenderingName.RESEARCH])
TEXTS = {name: ShownDocument(title=name, text=f"Text of {name}.") for name in ("p1", "p2", "p3")}


def make_call(query: str, *hits: str) -> SearchCall:
    status = SearchStatus.OK if hits else SearchStatus.EMPTY
    return SearchCall(query=query, status=status, hits=tuple(Hit(passage_id=h, score=1.0) for h in hits), detail=None)


def make_searched(*calls: SearchCall) -> Any:
    task = make_task("The school was founded in 1868.", ["1868"])
    return make_trajectory(task, ["1868"], [make_turn([("p1", "p1", "Text of p1.")], calls=calls)])


def test_a_query_shows_all_its_own_hits_in_order() -> None:
    searched = make_searched(make_call("a", "p2", "p1"), make_call("b"), make_call("c", "p1", "p3"))
    split = transcribe(searched, QuerySplit(TEXTS.get, "en"))
    together = transcribe(searched)
    assert [step.queries for step in split.steps] == [("a",), ("b",), ("c",)]
    assert [[document.title for document in step.documents] for step in split.steps] == [["p2", "p1"], [], ["p1", "p3"]]
    assert split.steps[0].think == together.steps[0].think
    assert "b" in split.steps[1].think
    assert (split.think, split.answers) == (together.think, together.answers)


def test_a_step_of_one_query_stays_as_it_is() -> None:
    searched = make_searched(make_call("a", "p1"))
    assert transcribe(searched, QuerySplit(TEXTS.get, "en")) == transcribe(searched)


def test_a_hit_without_a_text_is_a_reject() -> None:
    with pytest.raises(TranscriptError) as raised:
        transcribe(make_searched(make_call("a", "p1"), make_call("b", "p4")), QuerySplit(TEXTS.get, "en"))
    assert raised.value.reason == "no_text"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run") / "sample")


@TAGGED
@pytest.mark.parametrize("single", [True, False])
def test_rows_and_their_prompts_agree(run: RunFolder, tmp_path: Path, rendering: RenderingName, single: bool) -> None:
    export_sample(run, tmp_path, Trainer.MS_SWIFT, rendering=rendering, single_queries=single)
    for row in read_table(tmp_path / "train.jsonl"):
        asked, stream = row["messages"][0]["content"], "".join(message["content"] for message in row["messages"][1:])
        queries = re.findall("<search>(.*?)</search>", stream, re.DOTALL)
        assert (len(queries), max(query.count("\n") for query in queries)) == ((6, 0) if single else (2, 2))
        assert ("one on each line" in asked or "每行一条" in asked) != single
        assert row["turns"] == 2
        assert [span["kind"] for span in json.loads(row["spans"])].count("query") == len(queries)
