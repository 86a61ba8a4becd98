"""`rampforge verify` against `sha256sum` over the same files, start-up apart, in turn."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.storage.hashing import hash_file
from pipeline.storage.run_files import open_files
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import close_stage, open_stage
from pipeline.storage.verification.files import verify_files
from schemas.ledger import ShardCommit, ShardFile
from tests.bench.figures import Figure
from tests.support.report_samples import make_record

SHARDS, SHARD_BYTES = 70, 30 << 20
"""2.2 GB in files of the size of a shard."""
ROUNDS = 3


def run() -> list[Figure]:
    """All figures of this benchmark."""
    root = Path(tempfile.mkdtemp())
    try:
        folder = make_run(root / "run")
        paths = sorted(str(path) for path in folder.root.glob("redirects/*"))
        size = sum(os.path.getsize(path) for path in paths)
        command = ["sha256sum", *paths]

        def ours() -> None:
            assert verify_files(open_files(folder), str(folder.root), quick=False, note=lambda _: None).sound

        def bare() -> None:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # our own files

        ours()
        bare()
        pairs = [(measure(ours), measure(bare)) for _ in range(ROUNDS)]
    finally:
        shutil.rmtree(root)
    wall = statistics.median(mine[0] / theirs[0] for mine, theirs in pairs)
    cpu = statistics.median(mine[1] / theirs[1] for mine, theirs in pairs)
    best = min(mine[0] for mine, _ in pairs)
    return [
        Figure("compared", size / best / 1e9, "GB/s", "", f"{size / 1e9:.1f} GB in {len(paths)} files"),
        Figure("wall time / sha256sum", wall, "x", "<= 1.25"),
        Figure("CPU time / sha256sum", cpu, "x", "<= 1.25"),
    ]


def make_run(root: Path) -> RunFolder:
    """A finished stage whose shards are noise: what verify compares, and nothing that reads them."""
    run = RunFolder(root)
    open_stage(run, "noise", {}, None)
    (root / "redirects").mkdir()
    block = os.urandom(1 << 20)
    for number in range(SHARDS):
        path = run.shard("redirects", f"{number:03}", "noise")
        with path.open("wb") as file:
            for turn in range(SHARD_BYTES >> 20):
                file.write(block[turn + number :] + block[: turn + number])
        entry = ShardFile(
            dataset="redirects", name=path.name, rows=0, bytes=path.stat().st_size, sha256=hash_file(path)
        )
        run.commit(ShardCommit(stage="noise", shard=f"{number:03}", inputs=0, files=(entry,), funnel=()))
    close_stage(run, "noise", [f"{number:03}" for number in range(SHARDS)])
    run.write_record(root / "run.json", make_record())
    return run


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds, those of child processes among them."""
    before, started = os.times(), time.perf_counter()
    work()
    wall, after = time.perf_counter() - started, os.times()
    return wall, sum(after[:4]) - sum(before[:4])
