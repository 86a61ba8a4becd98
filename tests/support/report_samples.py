"""A small run for tests of the report: tasks, attempts and judgements as records, and as shards on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.llm.prices import PriceTable
from pipeline.planning.spending import sum_spending
from pipeline.report.report_data import ReportExample
from schemas.arrow import arrow_schema
from schemas.config import JudgingConfig, RunConfig
from schemas.funnel import FunnelStep
from schemas.ledger import RunRecord, StageTiming
from schemas.llm_config import ModelPrice
from schemas.record import Record
from schemas.spending import RoleSpending
from schemas.trajectories import HideMode
from tests.support.trajectory_samples import make_task, make_trajectory, make_turn

TEXT = (
    "The Harbour Light was lit in 1868 by Ada Merrow, who kept it for 41 years. It stands on Gull Point, "
    "12 kilometres north of Port Ansel, and was the first in the province to burn paraffin."
)
GOLDS = ("1868", "Ada Merrow", "Gull Point", "Port Ansel")
SOURCES = (
    ("p-merrow", "Ada Merrow", "Ada Merrow (1839–1921) kept the Harbour Light, on Gull Point, from 1868 to 1909."),
    ("p-ansel", "Port Ansel", "Port Ansel is a harbour town. North of Port Ansel lies Gull Point with its light."),
    (
        "p-lights",
        "List of lights",
        "Lights of the province, by year: Stone Head 1851; Harbour Light 1868; Low Isle 1874.",
    ),
    ("p-paraffin", "Paraffin", "Paraffin, or kerosene, replaced whale oil in most lights during the 19th century."),
)
POISON = (
    "<script>window.broken=1</script> \"quoted\" 'single' {{ 7*7 }} {% raw %} & \u202egnp.exe\u202c \x00\x07 ]]>"
    " </style><img src=x onerror=window.broken=2> javascript:x </script>"
)

COMPARISONS = tuple(
    FunnelStep(stage=s, unit=u, entered=n, passed=n - sum(r.values()), rejected=r, compares=True)
    for s, u, n, r in [
        ("spans", "term", 310, {"only_llm": 180, "only_others": 61}),
        ("spans", "entity", 1520, {"only_llm": 204, "only_others": 411}),
        ("judgements", "audited_trajectory", 120, {"model_says_incorrect": 3, "model_says_unjudgeable": 5}),
        (POISON, POISON, 7, {POISON: 7}),
    ]
)
"""Steps that compare, as a run with a language model leaves them."""


def make_examples(count: int = 24, text: str = TEXT, golds: Sequence[str] = GOLDS) -> list[ReportExample]:
    """Attempts with one to four masks, two hide modes, right, wrong and given up in turn."""
    judge = JudgeStage(JudgingConfig())
    examples = []
    for number in range(count):
        wanted = golds[: 1 + number % len(golds)]
        task = make_task(text, wanted, name=f"task{number:03}", title="Harbour Light")
        answers: list[str | None] = [span.text for span in task.spans]
        if number % 3 == 1:
            answers[-1] = "Stone Head <b>1851</b>" if number % 2 else "1851"
        if number % 5 == 4:
            answers[0] = None
        turns = [
            make_turn(
                SOURCES[:3], think=f"Hole {n + 1} of the passage is a name or a year. What does “Harbour Light” tell?"
            )
            for n in range(1 + number % 3)
        ]
        turns[-1] = make_turn(SOURCES[1:], conclusion="") if number % 4 == 3 else turns[-1]
        hide = (HideMode.PASSAGE, HideMode.NONE)[number // 4 % 2]
        trajectory = make_trajectory(task, answers, turns, hide=hide, trajectory_id=f"try{number:03}")
        page = frozenset({"p-lights"}) if hide is HideMode.NONE else frozenset()
        examples.append(ReportExample(task, trajectory, judge.judge(JudgedAttempt(trajectory, task, page))))
    return examples


def make_record(model: str = "m-free") -> RunRecord:
    """run.json of a run that lost something at every stage; `model` judges, at no price."""
    steps = [
        ("documents", "page", 962, {"redirect": 241, "disambiguation": 37, "too_short": 61, "list_page": 12}),
        ("passages", "page", 611, {}),
        ("passages", "passage", 10214, {"too_short": 803, "near_duplicate": 388}),
        ("spans", "span", 48120, {"repeated": 9120, "in_title": 3310, "inferable": 6211, "easy": 940}),
        ("tasks", "passage", 9023, {"no_spans": 1101}),
        ("trajectories", "task", 400, {"search_failed": 1}),
        ("judgements", "trajectory", 399, {"wrong_answer": 97, "unanswered": 121, "bad_format": 3, "unseen_answer": 2}),
    ]
    funnel = tuple(
        FunnelStep(stage=s, unit=u, entered=n, passed=n - sum(r.values()), rejected=r) for s, u, n, r in steps
    )
    timings = tuple(
        StageTiming(stage=s, seconds=t, work_seconds=t * 1.6, inputs=n)
        for s, t, n in [
            ("documents", 21.4, 962), ("passages", 3.2, 611), ("spans", 96.0, 9023), ("tasks", 1.1, 9023),
            ("trajectories", 31.0, 250), ("trajectories", 9.5, 150), ("judgements", 0.4, 399),
        ]
    )  # fmt: skip
    return RunRecord(
        run="harbour-light",
        version="0.1.0",
        revision="0123abcd",
        packages={"bm25s": "0.3.9", "spacy": "3.8.11"},
        config=RunConfig().model_dump(mode="json"),
        sources={"sample.xml.bz2": "8 MB, 0123"},
        models={"scorer": "smollm2-135m-instruct"},
        prompts={"extractive_plan.en": "0" * 20},
        fingerprints={"index": "f" * 20},
        funnel=funnel,
        timings=timings,
        tokens=1_300_000,
        cost=2.4,
        spending=sum_spending(
            make_spending(model), 61.5, PriceTable({"m-priced": ModelPrice(prompt=1, completion=2)}), 4
        ),
    )


def make_spending(model: str) -> list[RoleSpending]:
    """What a planner with a price and a judge without one consumed."""
    sums = {"prompt_tokens": 600_000, "completion_tokens": 50_000, "seconds": 240.0}
    return [
        RoleSpending(role="judge", model=model, calls=100, cost=0.0, **sums),
        RoleSpending(role="planner", model="m-priced", calls=1200, cost=2.4, **sums),
    ]


def write_shards(root: Path, examples: Sequence[ReportExample]) -> dict[str, list[Path]]:
    """Two shards of each dataset, as a run leaves them."""
    datasets: dict[str, Iterable[Record]] = {
        "tasks": [e.task for e in examples],
        "trajectories": [e.trajectory for e in examples],
        "judgements": [e.judgement for e in examples if e.judgement],
    }
    files: dict[str, list[Path]] = {}
    for name, records in datasets.items():
        rows = list(records)
        (root / name).mkdir(parents=True)
        files[name] = []
        for shard in range(2):
            part = [row.model_dump(mode="json") for row in rows[shard::2]]
            if part:
                table = pa.Table.from_pylist(part, schema=arrow_schema(type(rows[0])))
                files[name].append(root / name / f"part-{shard:04}.parquet")
                pq.write_table(table, files[name][-1])
    return files
