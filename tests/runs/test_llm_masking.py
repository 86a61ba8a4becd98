"""The job with the extractor's stage: over HTTP, before the spans, on the passages that spans are sought in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.storage.run_folder import RunFolder
from schemas.funnel import FunnelStep
from tests.support.command_line import rampforge
from tests.support.fault_server import FaultServer
from tests.support.sample_dump import write_dump

LIGHT = [
    "masking.ner=null",
    "masking.scorer=null",
    "masking.selection=random",
    "masking.limit=12",
    "masking.extractor=true",
    "execution.workers=1",
    "corpus.pages_per_shard=8",
    'llm.roles={extractor: {model: "m"}}',
]


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """Names the trades and the years of the passage as they stand, and a place that stands nowhere."""
    (text,) = re.findall(r"<passage>\n(.*)\n</passage>", body["messages"][0]["content"], re.DOTALL)
    spans = [{"text": word, "kind": "term"} for word in re.findall("wool|salt|iron|glass|copper|slate|silk", text)]
    spans += [{"text": year, "kind": "date"} for year in re.findall(r"\b1[5-9]\d\d\b", text)]
    return {"content": json.dumps({"spans": [*spans, {"text": "Nowhere <b>Hill</b>", "kind": "entity"}]})}


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    dump = write_dump(tmp_path / "towns.xml.bz2", towns=10)
    return ["run", str(dump), "--out", str(tmp_path), "--name", "run", *[w for s in LIGHT for w in ("--set", s)]]


def select(run: Path, query: str) -> list[tuple[Any, ...]]:
    return duckdb.connect().execute(query.replace("$", f"{run}/")).fetchall()


def find_steps(run: Path) -> dict[tuple[str, str], FunnelStep]:
    return {(step.stage, step.unit): step for step in RunFolder(run).record().funnel}


def test_the_extractor_proposes_and_the_spans_follow(
    prefect_server: Mapping[str, str], words: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with FaultServer(lambda body, count: "500" if count == 1 else "ok") as server:
        server.answer = answer
        endpoint = ["--set", f'llm.endpoints={{local: {{url: "{server.url}"}}}}']
        code, output = rampforge(prefect_server, *words, *endpoint)
        assert code == 0, output
        asked = sum(server.answered.values())
        code, output = rampforge(prefect_server, *words, *endpoint, "--redo", "proposals")
        assert code == 0, output
        assert sum(server.answered.values()) == asked, "made again, the stage asks for nothing that was answered"
    steps = find_steps(run)
    passages = steps["proposals", "passage"]
    assert passages.passed == asked
    assert passages.entered == steps["spans", "passage"].entered
    assert passages.rejected["not_sampled"] == steps["spans", "passage"].rejected["not_sampled"] > 0
    assert steps["proposals", "span"].rejected == {"not_verbatim": asked}
    assert select(run, "SELECT count(*) FROM '$proposals/*.parquet'") == [(asked,)]
    sources = dict(select(run, "SELECT s.source, count(*) FROM '$spans/*.parquet', unnest(spans) AS u(s) GROUP BY ALL"))
    assert sources["llm"] > 0
    terms, dates = steps["spans", "term"], steps["spans", "date"]
    assert terms.compares
    assert terms.rejected["only_llm"] > 0
    assert dates.passed > 0
    report = (run / "report.html").read_text()
    assert "terms found by the model, and by recogniser, links, rules" in report
    assert "only the model" in report
    assert "comparisons" in output
    code, output = rampforge(prefect_server, *words, *endpoint, "--set", "masking.extractor=false")
    assert code == 1
    assert "masking.extractor was true, now false" in output
    assert "--redo spans" in output


def test_without_it_there_is_no_trace(prefect_server: Mapping[str, str], words: list[str], tmp_path: Path) -> None:
    code, output = rampforge(prefect_server, *words, "--set", "masking.extractor=false", "--set", "llm.roles={}")
    assert code == 0, output
    run = tmp_path / "run"
    assert "proposals" not in {stage for stage, _ in find_steps(run)}
    assert not list(run.rglob("*proposals*"))
    assert 'id="agreement"' not in (run / "report.html").read_text()
    code, output = rampforge(prefect_server, "mask", str(run))
    assert code == 0, output
    assert not list(run.rglob("*proposals*"))


@pytest.mark.parametrize(
    ("setting", "what", "fix"),
    [
        ("llm.roles={}", "no model plays the role extractor", "llm.roles.extractor.model"),
        ("llm.endpoints={}", "no endpoint serves the role extractor", "llm.endpoints"),
        ("llm.endpoints={a: {url: http://127.0.0.1:9/v1, key: NO_SUCH_KEY}}", "NO_SUCH_KEY is not set", "export"),
    ],
)
def test_what_is_missing_is_said_before_the_work(
    setting: str, what: str, fix: str, prefect_server: Mapping[str, str], words: list[str], tmp_path: Path
) -> None:
    code, output = rampforge(prefect_server, *words, "--set", setting)
    assert code == 1
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert what in errors[0]
    assert fix in output
    assert "Traceback" not in output
    assert not (tmp_path / "run" / "ledger").exists()


def test_a_refused_key_is_said_before_the_work(
    prefect_server: Mapping[str, str], words: list[str], tmp_path: Path
) -> None:
    with FaultServer(lambda body, count: "401") as server:
        server.listing = 401
        code, output = rampforge(prefect_server, *words, "--set", f'llm.endpoints={{a: {{url: "{server.url}"}}}}')
    assert code == 1
    assert "refuses the key" in output
    assert not server.asked
    assert not (tmp_path / "run" / "ledger").exists()
