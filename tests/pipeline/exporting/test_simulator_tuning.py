"""Simulation-tuning data: labels, what is left out, balance, splits, sums, and the files trainers read."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.exporting.simulation_data import export_simulation
from pipeline.errors import StorageError
from pipeline.exporting.simulator_tuning import (
    JudgedSearch,
    SimulatorExportSettings,
    choose_examples,
    choose_split,
    cut_examples,
    settle_search,
)
from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.search.engine import FoundPassage
from pipeline.search.simulated.prompts import SimulationFacts, write_prompt
from pipeline.storage.files import write_atomically
from pipeline.storage.ledger_files import encode_record
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter
from prompts.document_scan import read_documents
from schemas.config import JudgingConfig
from schemas.exports import Split
from schemas.funnel import Reject
from schemas.judgements import Judgement
from schemas.ledger import ShardCommit, StageManifest
from schemas.record import Record
from schemas.search_config import SimulationMode
from schemas.simulation import SimulationExample
from schemas.tasks import MaskTask
from schemas.trajectories import Hit, SearchCall, SearchStatus, Trajectory, Usefulness
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

TEXTS = {
    "good": ("Ada Byron", "She founded the school in 1868."),
    "bad": ("Town hall", "It was painted green in 1901."),
    "page-source": ("A page", "The school was founded in 1868 by Ada Byron."),
}
EVERYTHING = SimulatorExportSettings(validation=0.0, balance=False)


def find(passage_id: str) -> FoundPassage | None:
    return FoundPassage(passage_id, *TEXTS[passage_id]) if passage_id in TEXTS else None


def make_call(
    query: str, *ids: str, status: SearchStatus = SearchStatus.OK, label: Usefulness | None = None
) -> SearchCall:
    hits = tuple(Hit(passage_id=i, score=1.0, usefulness=label) for i in ids)
    return SearchCall(query=query, status=status, hits=hits, detail=None)


def make_searched(*calls: SearchCall, accepted: bool = True, name: str = "page") -> JudgedSearch:
    task = make_task("The school was founded in 1868 by Ada Byron.", ["1868"], name=name)
    turn = make_turn([], calls=calls)
    searched = "+".join(f"{call.query}:{len(call.hits)}" for call in calls)
    more: dict[str, Any] = {"trajectory_id": f"{name}-{accepted}-{searched}-{calls[0].hits[:1]}"}
    return JudgedSearch(make_trajectory(task, ["1868"], [turn], **more), task, accepted, find)


def cut(*calls: SearchCall, accepted: bool = True, settings: SimulatorExportSettings = EVERYTHING) -> list[str]:
    """The label of each search's example, or why it gives none."""
    cuts = cut_examples(make_searched(*calls, accepted=accepted), settings)
    return [row.reason if isinstance(row, Reject) else row.usefulness for _, row in cuts]


def test_labels_and_what_gives_no_example() -> None:
    failed, empty = SearchStatus.TIMEOUT, SearchStatus.EMPTY
    calls = [
        make_call("a", "good", "bad"),
        make_call("b", "bad"),
        make_call("c", status=failed),
        make_call("d", status=empty),
        make_call("e", "unknown"),
        make_call("f", "page-source"),
        make_call("g", "good", label=Usefulness.USEFUL),
    ]
    others = ["failed_search", "no_results", "no_text", "no_text", "simulated"]
    assert cut(*calls) == ["useful", "noisy", *others]
    assert cut(*calls, accepted=False) == ["unclear", "noisy", *others]


def test_an_example_is_asked_and_read_as_the_tuned_simulator_is() -> None:
    searched = make_searched(make_call("founder of the school", "bad", "page-source", "good"))
    ((name, row),) = cut_examples(searched, EVERYTHING)
    assert isinstance(row, SimulationExample)
    assert row.passage_ids == ("bad", "good"), "the task's own passage is no document"
    facts = SimulationFacts(searched.task.masked_text, ("1868",))
    asked = write_prompt(SimulationMode.TUNED, "en", "founder of the school", 2, Usefulness.USEFUL, facts)
    assert [(m.role, m.content) for m in row.prompt] == [("user", asked)]
    written = read_documents(row.completion[0].content, 5)
    assert [(draft.title, draft.text) for draft in written] == [TEXTS["bad"], TEXTS["good"]]
    assert name.startswith(searched.trajectory.trajectory_id)
    ((_, blind),) = cut_examples(searched, SimulatorExportSettings(informed=False))
    assert isinstance(blind, SimulationExample)
    assert "1868" not in blind.prompt[0].content
    assert "founded in" not in blind.prompt[0].content


SEARCHES = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([("good",), ("bad",), ("good", "bad")]),
        st.booleans(),
        st.sampled_from(["p1", "p2", "p3", "p4"]),
    ),
    max_size=14,
    unique=True,
)


@given(SEARCHES, st.booleans(), st.booleans(), st.randoms())
def test_choices_are_balanced_unique_and_do_not_depend_on_order(
    searches: list[tuple[str, tuple[str, ...], bool, str]], informed: bool, balance: bool, chance: Any
) -> None:
    settings = SimulatorExportSettings(informed, 0.5, balance)
    all_searched = [make_searched(make_call(q, *ids), accepted=ok, name=page) for q, ids, ok, page in searches]

    def export(order: list[JudgedSearch]) -> dict[str, SimulationExample | Reject]:
        cuts = [pair for searched in order for pair in cut_examples(searched, settings)]
        examples = [(name, row) for name, row in cuts if isinstance(row, SimulationExample)]
        choice = choose_examples(examples, settings)
        return {name: settle_search(name, row, choice) for name, row in cuts}

    rows = export(all_searched)
    shuffled = [*all_searched]
    chance.shuffle(shuffled)
    assert export(shuffled) == rows
    kept = [row for row in rows.values() if isinstance(row, SimulationExample)]
    assert len({row.example_id for row in kept}) == len(kept)
    sizes = Counter((row.split, row.usefulness) for row in kept)
    if balance:
        assert all(sizes[split, Usefulness.USEFUL] == sizes[split, Usefulness.NOISY] for split in Split)
    else:
        assert not any(isinstance(row, Reject) and row.reason == "over_share" for row in rows.values())
    pages = {split: {row.document_id for row in kept if row.split is split} for split in Split}
    assert not pages[Split.TRAIN] & pages[Split.VALIDATION]


def test_the_validation_share_is_kept_by_page() -> None:
    splits = Counter(choose_split(f"page {n}", 0.1) for n in range(4000))
    assert splits[Split.VALIDATION] / 4000 == pytest.approx(0.1, abs=0.02)


def write_run(root: Path, searches: list[JudgedSearch]) -> RunFolder:
    run = RunFolder(root)
    judge = JudgeStage(JudgingConfig()).judge
    judgements = [
        judge(JudgedAttempt(s.trajectory, s.task, frozenset())).model_copy(update={"accepted": s.accepted})
        for s in searches
    ]
    datasets_: list[tuple[type[Record], list[Any]]] = [
        (MaskTask, list({s.task.task_id: s.task for s in searches}.values())),
        (Trajectory, [s.trajectory for s in searches]),
        (Judgement, judgements),
    ]
    files = []
    for model, rows in datasets_:
        with ShardWriter(run.dataset(model.dataset), "part-00000.parquet", model, {}) as writer:
            for row in rows:
                writer.append(row.model_dump(mode="json"))
            files.append(writer.close())
    commit = ShardCommit(stage="judgements", shard="00000", inputs=len(searches), files=tuple(files), funnel=())
    manifest = StageManifest(stage="judgements", settings={}, upstream=None, shards=(commit,))
    write_atomically(run.ledger("judgements") / "manifest.json", encode_record(manifest))
    return run


def show(searched: JudgedSearch) -> JudgedSearch:
    """The same with every known hit shown: its text is in the trajectory."""
    turn = searched.trajectory.turns[0]
    shown = make_turn([(i, *TEXTS[i]) for i in ("good", "bad")], calls=turn.calls)
    return JudgedSearch(
        searched.trajectory.model_copy(update={"turns": (shown,)}), searched.task, searched.accepted, find
    )


def test_files_sums_and_a_second_export(tmp_path: Path) -> None:
    lost = make_call("lost", "unknown")
    found = [make_call(f"query {n}", "good" if n % 3 else "bad") for n in range(30)]
    searches = [show(make_searched(call, lost, name=f"p{n}")) for n, call in enumerate(found)]
    run = write_run(tmp_path / "run", searches)
    step, rows = export_simulation(run, tmp_path / "out", SimulatorExportSettings(validation=0.3))
    assert step.entered == 60
    assert step.passed == sum(rows.values()) > 0
    assert step.rejected["no_text"] == 30
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "hf"))
    assert {split: len(loaded[split]) for split in loaded} == {
        split: sum(count for key, count in rows.items() if key.startswith(split)) for split in ("train", "validation")
    }
    first = loaded["train"][0]
    assert [m["role"] for m in first["prompt"] + first["completion"]] == ["user", "assistant"]
    summary = json.loads((tmp_path / "out" / "simulation.json").read_bytes())
    assert summary["rows"] == rows
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    export_simulation(run, tmp_path / "out", SimulatorExportSettings(validation=0.3))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_run_that_is_not_judged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        export_simulation(RunFolder(tmp_path), tmp_path / "out", SimulatorExportSettings())
