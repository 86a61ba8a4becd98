"""Fresh tasks: no span is hidden twice, no page is on both sides, and shards share out what is wanted."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.stages.round_tasks import find_plan, write_plan
from pipeline.decontamination.overlap import QuestionIndex
from pipeline.distillation.adoption import adopt_stages
from pipeline.distillation.freshness import FreshTasks, count_capacity, drop_overlaps, read_used, write_used
from pipeline.distillation.joining import join_runs
from pipeline.exporting.simulator_tuning import choose_split
from pipeline.masking.task_stage import SpannedPassage, TaskStage
from pipeline.storage.hashing import hash_file
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter
from pipeline.storage.stage_ledger import close_stage, open_stage
from schemas.evaluations import EvalQuestion
from schemas.exports import Split
from schemas.funnel import Reject
from schemas.ledger import ShardCommit, ShardFile, StageStart
from schemas.masking_config import MaskingConfig, Selection
from schemas.passages import Passage
from schemas.record import Record
from schemas.rounds import RoundPlan
from schemas.tasks import MaskTask, SpanSet
from tests.pipeline.masking.test_tasks import make_shard

MASKING = MaskingConfig(scorer=None, selection=Selection.RANDOM, mask_counts=(1, 2))
SHARDS = ("000-00000", "000-00001")


def make_items(capacities: list[int]) -> list[SpannedPassage]:
    """Passages of pages of their own."""
    items = make_shard(capacities)
    return [
        SpannedPassage(item.passage.model_copy(update={"document_id": f"page{n}"}), item.span_set)
        for n, item in enumerate(items)
    ]


def write_dataset(folder: Path, name: str, model: type[Record], rows: list[Record]) -> ShardFile:
    with ShardWriter(folder / model.dataset, f"part-{name}.parquet", model, {}) as writer:
        for row in rows:
            writer.append(row.model_dump(mode="json"))
        return writer.close()


def make_round(
    items: list[SpannedPassage], number: int, used: dict[str, frozenset[tuple[int, int]]], share: float, quota: int
) -> tuple[list[MaskTask], list[Reject]]:
    split = Split.VALIDATION if number < 0 else Split.TRAIN
    plan = RoundPlan(number=number, tasks=quota, split=split, share=share, shares={}, used="")
    outcomes = list(FreshTasks(TaskStage(MASKING, number + 10, quota), plan, used).run(items))
    assert sorted(outcome.key for outcome in outcomes) == sorted(item.key for item in items)
    rows = [row for outcome in outcomes for row in outcome.rows]
    for outcome in outcomes:
        for step in outcome.funnel:
            assert step.entered == step.passed + sum(step.rejected.values())
    return [row for row in rows if isinstance(row, MaskTask)], [row for row in rows if isinstance(row, Reject)]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 12), st.floats(0.0, 0.9))
def test_rounds_share_no_task(capacities: list[int], quota: int, share: float) -> None:
    items = make_items(capacities)
    used: dict[str, frozenset[tuple[int, int]]] = {}
    seen: set[tuple[str, int, int]] = set()
    for number in (-1, 0, 1, 2, 3):
        tasks, rejects = make_round(items, number, used, share, quota)
        split = Split.VALIDATION if number < 0 else Split.TRAIN
        assert all(choose_split(task.document_id, share) is split for task in tasks)
        spans = [(task.passage_id, span.start, span.end) for task in tasks for span in task.spans]
        assert len(set(spans)) == len(spans)
        assert not seen & set(spans)
        assert {row.reason for row in rejects} <= {"set_apart", "used_up", "over_limit", "too_few_spans"}
        seen |= set(spans)
        for passage, start, end in spans:
            used[passage] = used.get(passage, frozenset()) | {(start, end)}


def make_base(folder: Path) -> RunFolder:
    """A run of two shards whose spans are made."""
    run = RunFolder(folder)
    for stage, model in (("dedup", Passage), ("spans", SpanSet)):
        open_stage(run, stage, {}, None)
        for number, shard in enumerate(SHARDS):
            items = make_items([4, 1, 0, 2, 6] if number else [3, 3])
            rows: list[Record] = [item.passage if model is Passage else item.span_set for item in items]
            file = write_dataset(folder, shard, model, rows)
            run.commit(ShardCommit(stage=stage, shard=shard, inputs=len(rows), files=(file,), funnel=()))
        close_stage(run, stage, SHARDS)
    return run


def test_used_spans_are_read_back(tmp_path: Path) -> None:
    run = make_base(tmp_path / "base")
    items = make_items([4, 1, 0, 2, 6])
    tasks, _ = make_round(items, 0, {}, 0.0, 3)
    file = write_dataset(tmp_path / "round", SHARDS[1], MaskTask, list(tasks))
    commit = ShardCommit(stage="tasks", shard=SHARDS[1], inputs=0, files=(file,), funnel=())
    RunFolder(tmp_path / "round").commit(commit)
    used = tmp_path / "used.parquet"
    digest = write_used([RunFolder(tmp_path / "round")], used)
    assert write_used([RunFolder(tmp_path / "round")], used) == digest
    passages = run.shard(Passage.dataset, SHARDS[1], "dedup")
    found = read_used(used, passages)
    assert found == {
        name: frozenset((span.start, span.end) for task in tasks if task.passage_id == name for span in task.spans)
        for name in {task.passage_id for task in tasks}
    }
    spans = run.shard(SpanSet.dataset, SHARDS[1], "spans")
    for least in (1, 2, 4):
        left = [
            sum((span.start, span.end) not in found.get(item.key, frozenset()) for span in item.span_set.spans)
            for item in items
        ]
        expected = sum(count >= least for count in left)
        assert count_capacity(spans, passages, used, Split.TRAIN, 0.0, least) == expected
    assert count_capacity(spans, passages, used, Split.VALIDATION, 0.0, 1) == 0


def test_plan_respects_the_capacity_of_each_shard(tmp_path: Path) -> None:
    base, run = make_base(tmp_path / "base"), RunFolder(tmp_path / "round-00")
    adopt_stages(base, run, ("dedup", "spans"))
    adopt_stages(base, run, ("dedup", "spans"))
    for stage in ("dedup", "spans"):
        assert run.manifest(stage) == base.manifest(stage)
    for path in base.root.glob("*/part-*.parquet"):
        assert path.samefile(run.root / path.relative_to(base.root))
    plan = write_plan(run, 0, 5, (1, 2), 0.0, ())
    assert plan.shares == {SHARDS[0]: 2, SHARDS[1]: 3}
    assert write_plan(run, 0, 99, (4,), 0.5, ()) == plan == find_plan(run), "a plan that is there stays"
    more = write_plan(RunFolder(adopt_again(base, tmp_path)), 1, 500, (4,), 0.0, ())
    assert more.shares == {SHARDS[0]: 0, SHARDS[1]: 2}, "no more is asked for than there is"


def adopt_again(base: RunFolder, tmp_path: Path) -> Path:
    adopt_stages(base, RunFolder(tmp_path / "round-01"), ("dedup", "spans"))
    return tmp_path / "round-01"


def test_incomplete_stage_does_not_count(tmp_path: Path) -> None:
    base, run = make_base(tmp_path / "base"), RunFolder(tmp_path / "round-00")
    adopt_stages(base, run, ("dedup",))
    (run.ledger("dedup") / "manifest.json").unlink()
    torn = run.shard(Passage.dataset, SHARDS[0], "dedup")
    torn.unlink()
    torn.write_bytes(b"half")
    adopt_stages(base, run, ("dedup",))
    assert hash_file(torn) == base.manifest("dedup").shards[0].files[0].sha256
    assert base.manifest("dedup") == run.manifest("dedup")


def test_a_union_without_a_judged_run_holds_no_shard(tmp_path: Path) -> None:
    from tests.support.export_samples import make_run

    runs = [make_run(tmp_path / name) for name in ("round-00", "round-01")]
    empty = RunFolder(tmp_path / "round-02")
    empty.root.mkdir()
    (empty.root / "run.json").write_bytes((runs[0].root / "run.json").read_bytes())
    for run in runs:  # the sample names no files, since exports need none
        commits = [
            shard.model_copy(update={"files": tuple(name_files(run, shard.shard))})
            for shard in run.manifest("judgements").shards
        ]
        for commit in commits:
            run.commit(commit)
        run.write_record(run.ledger("judgements") / "stage.json", StageStart(settings={}, upstream=None))
        close_stage(run, "judgements", [commit.shard for commit in commits])
    union = RunFolder(tmp_path / "union")
    join_runs([*runs, empty], union, ("judgements", "difficulties"))
    shards = [shard.shard for shard in union.manifest("judgements").shards]
    assert shards == [f"{run.name}-{name}" for run in runs for name in SHARDS]
    assert len(list((union.root / "trajectories").glob("*.parquet"))) == 4
    assert union.find_manifest("difficulties") is None
    assert union.record().run == "union"


def name_files(run: RunFolder, shard: str) -> list[ShardFile]:
    files = []
    for dataset in ("tasks", "trajectories", "judgements"):
        path = run.shard(dataset, shard, "judgements")
        digest = hash_file(path)
        files.append(ShardFile(dataset=dataset, name=path.name, rows=1, bytes=path.stat().st_size, sha256=digest))
    return files


def test_overlapping_tasks_are_rejected() -> None:
    items = [
        SpannedPassage(item.passage.model_copy(update={"title": f"Town {n}"}), item.span_set)
        for n, item in enumerate(make_items([1, 1, 1]))
    ]
    asked = EvalQuestion(
        question_id="q1", dataset="x", lang="en", question="Who founded it?", golds=(("Name0",),), titles=("Town 1",)
    )
    outcomes = list(drop_overlaps(TaskStage(MASKING, 0, None).run(items), QuestionIndex([asked])))
    assert [outcome.key for outcome in outcomes if any(isinstance(row, MaskTask) for row in outcome.rows)] != []
    rejects = [row for outcome in outcomes for row in outcome.rows if isinstance(row, Reject)]
    assert [(row.stage, row.unit, row.reason) for row in rejects] == [
        ("decontamination", "task", "eval_answer_and_title")
    ]
    steps = [step for outcome in outcomes for step in outcome.funnel if step.stage == "decontamination"]
    assert sum(step.entered for step in steps) == 3
    assert sum(step.passed for step in steps) == 2
