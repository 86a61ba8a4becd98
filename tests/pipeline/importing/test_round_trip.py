"""What is exported as ATIF and imported again is the same task and the same attempt; foreign rows say what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.configuration.run_context import RunContext
from flows.importing.job import import_rows
from flows.stages.judgements import read_attempts
from pipeline.errors import ConfigError, SourceError
from pipeline.exporting.examples import make_example
from pipeline.exporting.formats.atif import write_trajectory
from pipeline.exporting.registry import EXPORTERS
from pipeline.exporting.samples import make_samples
from pipeline.exporting.spec import RowPlace
from pipeline.importing.formats.atif import read_atif
from pipeline.importing.records import make_task, make_trajectory
from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.rendering.transcript import ask, fold_line
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.shards import read_rows
from pipeline.storage.stage_ledger import close_stage, open_stage
from schemas.config import JudgingConfig, RunConfig
from schemas.exports import ExportSettings, Purpose, Split, Trainer
from schemas.funnel import Reject
from schemas.imports import ImportFormat
from schemas.judgements import Judgement
from schemas.renderings import QuestionKind, RenderingName
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory
from tests.support.export_samples import export_sample, make_run
from tests.support.growth import LINEAR, cpu_growth
from tests.support.import_samples import CHAT, MINIMAL, OPENRESEARCHER, OPENSEEKER, ROWS, SEARCH_R1, WHO
from tests.support.trajectory_samples import make_task as make_sample_task
from tests.support.trajectory_samples import make_trajectory as make_sample_trajectory
from tests.support.trajectory_samples import make_turn

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=30)
LINE = TEXT.map(fold_line).filter(bool)


def judge(run: RunFolder) -> None:
    """Judge a run by rules, as the stage does."""
    context = RunContext(run, RunConfig(), Path())
    open_stage(run, "judgements", {}, None)
    names = [commit.shard for commit in run.manifest("trajectories").shards]
    for name in names:
        plan = ShardPlan(run, "judgements", name, (Judgement,), {})
        run_shard(plan, JudgeStage(JudgingConfig()), read_attempts(context, name))
    close_stage(run, "judgements", names)


def read_all(run: RunFolder, model: Any) -> list[Any]:
    return [row for path in run.files(model.dataset) for row in read_rows(path, model)]


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def test_an_export_imported_judged_and_exported_again_is_the_same(tmp_path: Path) -> None:
    export_sample(make_run(tmp_path / "run"), tmp_path / "a", Trainer.ATIF, split=0.0)
    rows = tmp_path / "a" / "train.jsonl"
    done = import_rows([rows], tmp_path / "imported")
    assert (done.formats, done.tasks, done.trajectories) == ((ImportFormat.ATIF,), 24, 24)
    record = done.run.record()
    assert (record.imported, record.models, record.prompts, record.spending) == ("atif", {}, {}, None)
    judge(done.run)
    assert all(judgement.accepted for judgement in read_all(done.run, Judgement))
    export_sample(done.run, tmp_path / "b", Trainer.ATIF, split=0.0)
    assert (tmp_path / "b" / "train.jsonl").read_bytes() == rows.read_bytes()
    card = (tmp_path / "b" / "README.md").read_text("utf-8")
    assert "imported from rows of atif" in card
    assert not re.search(r"cc-by|CC BY|Wikipedia", card)
    export_sample(done.run, tmp_path / "trl", Trainer.TRL, split=0.0)


@given(
    golds=st.lists(st.sampled_from(["1868", "Ada Byron", "school"]), min_size=1, max_size=3, unique=True),
    thoughts=st.lists(TEXT, min_size=1, max_size=3),
    shown=st.lists(st.tuples(LINE, LINE), max_size=3, unique_by=lambda document: document),
    answer=LINE,
)
@settings(max_examples=60, deadline=None)
def test_a_document_holds_all_that_a_row_is_made_of(
    golds: list[str], thoughts: list[str], shown: list[tuple[str, str]], answer: str
) -> None:
    task = make_sample_task("The school was founded in 1868 by Ada Byron.", golds)
    passages = [(f"p{number}", title, text) for number, (title, text) in enumerate(shown)]
    turns = [make_turn(passages, think=thought) for thought in thoughts]
    trajectory = make_sample_trajectory(task, [answer] * len(golds), turns)
    example = make_example(task, trajectory, judgement_of(task, trajectory))
    chosen = ExportSettings(trainer=Trainer.ATIF, rendering=RenderingName.OPENAI_TOOLS)
    (sample,) = make_samples([example], chosen, Purpose.SFT)
    row = json.loads(orjson.dumps(write_trajectory(sample, RowPlace(Split.TRAIN, 0))))  # type: ignore[arg-type]
    attempt = read_atif(row)
    again = make_task(attempt)
    made = make_example(again, make_trajectory(again, attempt, "", 0), judgement_of(task, trajectory))
    kept = {"hide", "shown", "golds", "question", "transcript", "difficulty", "mask_kinds", "task_id", "trajectory_id"}
    assert made.model_dump(include=kept) == example.model_dump(include=kept)


def judgement_of(task: MaskTask, trajectory: Trajectory) -> Judgement:
    judged = JudgeStage(JudgingConfig()).judge(JudgedAttempt(trajectory, task, frozenset()))
    return judged.model_copy(update={"accepted": True, "reject_reason": None})


@pytest.mark.parametrize("format_", list(ImportFormat))
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "json"])
def test_foreign_rows_become_questions_that_are_judged(tmp_path: Path, format_: ImportFormat, suffix: str) -> None:
    rows = ROWS[format_]
    path = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        write_lines(path, rows)
    elif suffix == "json":
        path.write_text(json.dumps(rows[0] if len(rows) == 1 else rows, indent=1))
    else:
        if format_ in (ImportFormat.ATIF, ImportFormat.OPENRESEARCHER):
            pytest.skip("fields of several types are no columns")
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    done = import_rows([path], tmp_path / "run")
    assert (done.formats, done.funnel.rejected, done.trajectories) == ((format_,), {}, len(rows))
    tasks = {task.task_id: task for task in read_all(done.run, MaskTask)}
    for trajectory in read_all(done.run, Trajectory):
        task = tasks[trajectory.task_id]
        assert ask(task).kind is QuestionKind.QA
        assert ask(task).text == task.asked in (WHO, "When?")
        assert task.fill([task.spans[0].text]) == f"{task.asked}\n{task.spans[0].text}"
        assert trajectory.turns[0].calls[0].hits[0].score is None
        assert (trajectory.usage, trajectory.prompts, trajectory.engine) == ((), (), "")
    judge(done.run)
    assert all(judgement.verdict == "correct" and judgement.answer_seen for judgement in read_all(done.run, Judgement))


def test_another_tool_is_kept_and_named_where_a_format_has_no_place_for_it(tmp_path: Path) -> None:
    done = import_rows([write_lines(tmp_path / "rows.jsonl", [OPENRESEARCHER, CHAT])], tmp_path / "run")
    run = done.run
    assert done.other_tools == 1
    tools = {call.tool for row in read_all(run, Trajectory) for turn in row.turns for call in turn.calls}
    assert tools == {"search", "browser.open"}
    judge(run)
    export_sample(run, tmp_path / "out", Trainer.TRL, split=0.0)
    rejects = list(read_rows(tmp_path / "out" / "rejects.parquet", Reject))
    assert [reject.reason for reject in rejects if reject.stage == "export-sft"] == ["other_tool"]
    assert "`other_tool`" in (tmp_path / "out" / "README.md").read_text()
    for trainer in (Trainer.SKYRL, Trainer.VERL_RL):
        exported = export_sample(run, tmp_path / trainer, trainer, split=0.0)
        assert "serve RUN_OR_INDEX " in EXPORTERS[trainer].list_commands(exported.written, "RUN", "FOLDER")[0]
        assert "RUN_OR_INDEX" in EXPORTERS[trainer].describe_search(exported.written)[0]


def test_what_does_not_fit_is_a_reject_with_its_reason(tmp_path: Path) -> None:
    steps = MINIMAL["steps"]
    assert isinstance(steps, list)
    rows: dict[str, Any] = {
        "no_gold": {**MINIMAL, "extra": None},
        "copied_context": {**MINIMAL, "steps": [{**steps[0], "is_copied_context": True}, *steps[1:]]},
        "several_questions": {**MINIMAL, "steps": [*steps, {"source": "user", "message": "And when?"}]},
        "no_question": {**MINIMAL, "steps": steps[1:]},
        "stray_result": {**OPENSEEKER, "trajectory": [{"role": "user", "content": "<tool_response>x</tool_response>"}]},
        "bad_call": {
            **OPENSEEKER,
            "trajectory": [
                {"role": "user", "content": WHO},
                {"role": "assistant", "content": "<tool_call>search(x)</tool_call>"},
            ],
        },
        "bad_messages": {**OPENSEEKER, "trajectory": "none"},
        "failed_attempt": {**CHAT, "status": "fail", "error": "timeout", "messages": []},
        "bad_question": {**SEARCH_R1, "question": "What is [mask]?"},
        "bad_facts": {**MINIMAL, "extra": {"rampforge": {"kind": "ramp"}}},
    }
    formats = {"failed_attempt": ImportFormat.OPENRESEARCHER, "bad_question": ImportFormat.SEARCH_R1}
    formats |= dict.fromkeys(("stray_result", "bad_call", "bad_messages"), ImportFormat.OPENSEEKER)
    for reason, row in rows.items():
        path = write_lines(tmp_path / f"{reason}.jsonl", [row])
        done = import_rows([path], tmp_path / reason, formats.get(reason, ImportFormat.ATIF))
        assert (done.funnel.entered, done.funnel.rejected) == (1, {reason: 1})
        assert [reject.reason for reject in read_all(done.run, Reject)] == [reason]
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes(orjson.dumps(MINIMAL) + b"\n" + orjson.dumps(MINIMAL) + b'\n{"cut": \n[1]\n')
    done = import_rows([lines], tmp_path / "lines")
    assert done.funnel.rejected == {"no_object": 1, "repeated": 1, "unreadable": 1}
    assert [reject.input_id for reject in read_all(done.run, Reject)] == [f"lines.jsonl:{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("reason", "changed"),
    [
        ("bad_facts", {"shown": [1, 2, 3]}),
        ("bad_facts", {"page_id": 3 << 62}),
        ("bad_facts", {"mask_kinds": []}),
        ("bad_facts", {"golds": [], "mask_kinds": [], "difficulties": [], "question": "T\nno masks"}),
        ("bad_facts", {"golds": [[""]]}),
        *(("bad_facts", {"lang": lang}) for lang in ("", "../../x", "en/../x", "zh\n", "EN", "french", "zh-")),
    ],
)
def test_facts_of_other_types_reject_their_row_alone(tmp_path: Path, reason: str, changed: dict[str, object]) -> None:
    export_sample(make_run(tmp_path / "run"), tmp_path / "a", Trainer.ATIF, split=0.0)
    good, wrong, *_ = map(orjson.loads, (tmp_path / "a" / "train.jsonl").read_bytes().splitlines())
    wrong["extra"]["rampforge"].update(changed)
    done = import_rows([write_lines(tmp_path / "rows.jsonl", [good, wrong])], tmp_path / "imported")
    assert (done.funnel.passed, done.funnel.rejected) == (1, {reason: 1})
    judge(done.run)


@pytest.mark.parametrize(
    "changed", [{"golds": [["1999"]] * 3}, {"title": "Another"}, {"lang": "zh-hant"}, {"difficulty": 0.125}]
)
def test_an_attempt_at_another_task_of_the_same_id_is_rejected(tmp_path: Path, changed: dict[str, object]) -> None:
    export_sample(make_run(tmp_path / "run"), tmp_path / "a", Trainer.ATIF, split=0.0)
    first = orjson.loads((tmp_path / "a" / "train.jsonl").read_bytes().splitlines()[0])
    again, other = (json.loads(json.dumps(first)) for _ in range(2))
    again["extra"]["rampforge"]["id"] = "again"
    if golds := changed.get("golds"):
        assert isinstance(golds, list)
        changed = {"golds": golds[: len(first["extra"]["rampforge"]["golds"])]}
    other["extra"]["rampforge"].update(changed, id="other")
    done = import_rows([write_lines(tmp_path / "rows.jsonl", [first, other, again])], tmp_path / "imported")
    assert (done.tasks, done.trajectories, done.funnel.rejected) == (1, 2, {"other_task": 1})
    assert [row.attempt for row in read_all(done.run, Trajectory)] == [0, 1]
    judge(done.run)
    assert all(judgement.accepted for judgement in read_all(done.run, Judgement))


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="rows of no known format") as raised:
        import_rows([write_lines(tmp_path / "x.jsonl", [{"a": 1}])], tmp_path / "run")
    assert "--as one of atif" in raised.value.fix
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(SourceError, match="neither JSON nor Parquet"):
        import_rows([tmp_path / "x.txt"], tmp_path / "run")
    for wrong in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(SourceError, match="is not a file"):
            import_rows([wrong], tmp_path / "run")
    with pytest.raises(ConfigError, match="not empty"):
        import_rows([tmp_path / "x.jsonl"], tmp_path)


def test_the_same_rows_make_the_same_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.importing.job.SHARD_BYTES", 300)
    rows = [{**SEARCH_R1, "question": f"{WHO} ({number % 7})", "id": number} for number in range(20)]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    runs = [import_rows([path], tmp_path / name).run for name in "ab"]
    for run in runs:
        shards = run.manifest("tasks").shards
        assert len(shards) > 3
        for commit in shards:
            known = {t.task_id for t in read_rows(run.part("tasks", commit.shard, ""), MaskTask)}
            attempts = list(read_rows(run.part("trajectories", commit.shard, ""), Trajectory))
            assert {row.task_id for row in attempts} == known
    files = [{p.relative_to(run.root): p.read_bytes() for p in run.root.rglob("*.parquet")} for run in runs]
    assert files[0] == files[1]


@pytest.mark.slow
def test_an_import_is_linear_in_the_rows(tmp_path: Path) -> None:
    def make(count: int) -> Path:
        rows = [{**OPENSEEKER, "question": f"{WHO} ({number})"} for number in range(count)]
        return write_lines(tmp_path / f"{count}.jsonl", rows)

    numbers = iter(range(1000))
    assert cpu_growth(make, lambda path: import_rows([path], tmp_path / f"run{next(numbers)}"), 100) <= LINEAR


@pytest.mark.slow
@pytest.mark.skipif(find_spec("harbor") is None, reason="needs Harbor's models: pip install harbor (Python 3.12)")
def test_harbor_s_own_models_read_every_row(tmp_path: Path) -> None:
    from harbor.models.trajectories import Trajectory as HarborTrajectory  # type: ignore[import-not-found]

    for rendering in (RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH):
        export_sample(make_run(tmp_path / f"{rendering}"), tmp_path / "out", Trainer.ATIF, rendering=rendering)
        for line in (tmp_path / "out" / "train.jsonl").read_bytes().splitlines():
            read = HarborTrajectory.model_validate_json(line)
            assert read.schema_version == "ATIF-v1.8"
            assert read.to_json_dict() == json.loads(line)
