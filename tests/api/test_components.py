"""Functions of the user's own: they work in worker processes, and are told apart by the source of their module."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import rampforge
from flows.configuration.components import identify_component, load_component
from pipeline.judging.custom_judge_stage import JudgeFunctionError, call_judge
from pipeline.masking.custom_spans import ExtractorError, call_extractor
from schemas.judgements import Judgement
from schemas.tasks import SpanSet
from tests.support.passage_samples import make_passage

MINE = """
def extract(text, title, lang):
    at = text.find("forty families")
    return [(at, at + 14, "term")] if at >= 0 else []

def judge(answer, golds, text):
    if "inhabitants" in text:
        raise RuntimeError("it has no opinion")
    return answer in golds

value = 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my_parts.py"
    path.write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)
    return path


def test_they_work_in_worker_processes(
    project: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    copy = shutil.copytree(project / "outputs" / "pilot", tmp_path / "copy")
    settings = {"masking.extractor_function": "my_parts:extract", "judging.judge": "custom"}
    run = rampforge.resume(copy, settings=settings | {"judging.function": "my_parts:judge"}, redo="spans")
    sources = {span.source for row in run.records("spans") if isinstance(row, SpanSet) for span in row.spans}
    assert "custom" in sources
    judgements = [row for row in run.records("judgements") if isinstance(row, Judgement)]
    assert {row.judge for row in judgements} == {"my_parts:judge"}
    failed = [row for row in judgements if row.reject_reason == "judge_failed"]
    assert all(row.verdict is rampforge.Verdict.ERROR for row in failed)
    mine.write_text(f"{MINE}# changed\n")
    with pytest.raises(rampforge.ConfigError, match="custom judge"):
        rampforge.resume(copy, stages=["judgements"])


def test_what_identifies_a_function(mine: Path) -> None:
    before = identify_component("judging.function", "my_parts:judge")
    assert before.startswith("my_parts:judge sha256 ")
    mine.write_text(f"{MINE}# changed\n")
    assert identify_component("judging.function", "my_parts:judge") != before


@pytest.mark.parametrize(
    "said", ["my_parts:nothing", "my_parts:value", "no_such_module:f", "__main__:f", "f", "broken:f"]
)
def test_what_cannot_be_imported_is_named(mine: Path, said: str) -> None:
    (mine.parent / "broken.py").write_text("1 / 0\n")
    with pytest.raises(rampforge.ConfigError, match=r"judging\.function"):
        load_component("judging.function", said)


@pytest.mark.parametrize("returned", [None, "yes", 1])
def test_a_judge_that_gives_no_verdict_fails(returned: object) -> None:
    with pytest.raises(JudgeFunctionError):
        call_judge(lambda *_: returned, "a", ("a",), "")  # type: ignore[arg-type]


@pytest.mark.parametrize("returned", [3, [(0, 2)], [(0, 99_999, "term")], [(0, 2, "verb")], [(0.0, 2, "term")]])
def test_an_extractor_that_gives_no_spans_fails(returned: object) -> None:
    with pytest.raises(ExtractorError):
        call_extractor(lambda *_: returned, make_passage(1, "One two three.", 1))  # type: ignore[arg-type]


def test_an_own_judge_is_asked_by_hand(mine: Path) -> None:
    judge = rampforge.Judge({"judging": {"judge": "custom", "function": "my_parts:judge"}})
    assert judge.judge("Elbe", ["Elbe"]).correct
    assert judge.judge("Elbe", ["Elbe"], "inhabitants").verdict is rampforge.Verdict.ERROR
