"""Looking at a million trajectories: the table under a filter against the bare query, one attempt, memory, search.

The shards are synthetic: a few real records of tests, multiplied by DuckDB with other ids, verdicts and difficulties.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from starlette.testclient import TestClient

from flows.cli.inspect_web import read_job
from pipeline.inspecting.attempt_filter import AttemptFilter, Ending, SortKey
from pipeline.inspecting.attempt_pages import read_page
from pipeline.inspecting.locations import open_location
from pipeline.inspecting.web.app import PageServices, build_app
from pipeline.inspecting.web.opened_runs import OpenedRun
from tests.bench.figures import Figure, run_apart
from tests.support.report_samples import make_examples, write_shards

ROWS = 1_000_000
SHARDS = 20
ROUNDS = 7
WANTED = AttemptFilter(ended=Ending.REJECTED, hide="passage", masks=2, sort=SortKey.DIFFICULTY, down=True)
BARE = """
    SELECT t.trajectory_id, k.title, k.mask_count, t.hide, t.policy, j.f1, j.reject_reason, k.difficulty
    FROM '{run}/trajectories/*.parquet' t JOIN '{run}/judgements/*.parquet' j USING (trajectory_id)
         JOIN '{run}/tasks/*.parquet' k ON k.task_id = t.task_id
    WHERE NOT j.accepted AND t.hide = 'passage' AND k.mask_count = 2
    ORDER BY k.difficulty DESC, t.trajectory_id DESC LIMIT 50
"""
BARE_COUNT = """
    SELECT count(*)
    FROM '{run}/trajectories/*.parquet' t JOIN '{run}/judgements/*.parquet' j USING (trajectory_id)
         JOIN '{run}/tasks/*.parquet' k ON k.task_id = t.task_id
    WHERE NOT j.accepted AND t.hide = 'passage' AND k.mask_count = 2
"""
MULTIPLY = """
    COPY (SELECT s.* REPLACE ({changes}) FROM '{seed}/{dataset}/*.parquet' s, range({first}, {last}) r(i))
    TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048)
"""
NEW_ID = "substr(md5({name} || '-' || i), 1, 20) AS {name}"
CHANGES = {
    "tasks": ("task_id", ["hash(task_id, i) % 120000 / 10000.0 AS difficulty"]),
    "trajectories": ("trajectory_id", [NEW_ID.format(name="task_id")]),
    "judgements": (
        "trajectory_id",
        [
            NEW_ID.format(name="task_id"),
            NEW_ID.format(name="judgement_id"),
            "hash(trajectory_id, i) % 1001 / 1000.0 AS f1",
        ],
    ),
}


def make_shards(folder: Path, rows: int = ROWS) -> Path:
    """A run of so many attempts."""
    seed, run, examples = folder / "seed", folder / "run", make_examples(40)
    write_shards(seed, examples)
    times = rows // len(examples)
    with duckdb.connect(config={"preserve_insertion_order": "false"}) as db:
        for dataset, (key, more) in CHANGES.items():
            (run / dataset).mkdir(parents=True)
            changes = ", ".join([NEW_ID.format(name=key), *more])
            for shard in range(SHARDS):
                first, last = times * shard // SHARDS, times * (shard + 1) // SHARDS
                path = run / dataset / f"part-{shard:04}.parquet"
                db.execute(
                    MULTIPLY.format(changes=changes, seed=seed, dataset=dataset, first=first, last=last, path=path)
                )
    (run / "ledger").mkdir()
    return run


def measure_bare(run: str) -> dict[str, float]:
    """The bare queries, median seconds."""
    with duckdb.connect() as db:
        return {
            "page": _time(lambda: db.execute(BARE.format(run=run)).fetchall()),
            "count": _time(lambda: db.execute(BARE_COUNT.format(run=run)).fetchall()),
        }


def measure_ours(run: str) -> dict[str, float]:
    """The same by us, and how long it takes before; median seconds."""
    started = time.perf_counter()
    opened = OpenedRun("run", open_location(run))
    seconds = {"open": time.perf_counter() - started}
    seconds["query"] = _time(lambda: read_page(opened.database, WANTED, 1))
    far = read_page(opened.database, WANTED, 1).pages // 2
    seconds["middle"] = _time(lambda: read_page(opened.database, WANTED, far))
    return seconds


def measure_pages(run: str) -> dict[str, float]:
    """The pages over HTTP, median seconds."""
    seconds: dict[str, float] = {}
    around = PageServices(clock=lambda: 0.0, now=lambda: "", read_live=read_job, timeout=900.0)
    client = TestClient(build_app(open_location(run), "token", around), "http://127.0.0.1")
    client.get("/", params={"token": "token"})
    keys = [line.split(",")[0] for line in client.get("/run/download?masks=4&hide=passage").text.splitlines()[1:100]]
    query = WANTED.as_query()
    seconds["table"] = _time(lambda: client.get(f"/run/attempts?{query}").raise_for_status())
    following = iter(keys)
    seconds["attempt"] = _time(lambda: client.get(f"/run/attempts/{next(following)}?{query}").raise_for_status())
    seconds["charts"] = _time(lambda: client.get(f"/run/charts?{query}").raise_for_status())
    seconds["words"] = _time(lambda: client.get("/run/attempts?words=merrow+paraffin").raise_for_status(), 2)
    return seconds


def _time(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    work()
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def run() -> list[Figure]:
    """All figures; the shards are thrown away afterwards."""
    with tempfile.TemporaryDirectory(dir="outputs") as folder:
        shards = str(make_shards(Path(folder).resolve()))
        bare = run_apart("tests.bench.inspect", "measure_bare", shards)
        ours = run_apart("tests.bench.inspect", "measure_ours", shards)
        pages = run_apart("tests.bench.inspect", "measure_pages", shards)
    note = f"{ROWS:,} attempts"
    return [
        Figure(
            "filter, count, sort, page / the bare queries",
            ours["query"] / (bare["page"] + bare["count"]),
            "x",
            "<= 1.3",
            note,
        ),
        Figure("filter, count, sort, page", 1000 * ours["query"], "ms", "<= 300", note),
        Figure("the same, bare over the files", 1000 * (bare["page"] + bare["count"]), "ms"),
        Figure("a page from the middle", 1000 * ours["middle"], "ms"),
        Figure("the table as a page over HTTP", 1000 * pages["table"], "ms", "<= 300"),
        Figure("an attempt as a page over HTTP", 1000 * pages["attempt"], "ms", "<= 50"),
        Figure("charts over HTTP", 1000 * pages["charts"], "ms"),
        Figure("words in all tasks, over HTTP", 1000 * pages["words"], "ms"),
        Figure("opening the run", ours["open"], "s"),
        Figure("peak memory", max(ours["peak_mb"], pages["peak_mb"]), "MiB", "<= 1536"),
    ]
