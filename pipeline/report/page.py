"""The report: one self-contained HTML file in which outside text is inert.

Guarantees: the page sends no request; the template engine escapes every value, invisible and direction-changing
characters are written out, and a Content-Security-Policy admits only the report's own style and script, by their
hashes. The same data give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.auditing.reach import find_ceilings
from pipeline.charts import layout
from pipeline.charts.funnel import lay_funnel
from pipeline.report.agreement import compare_steps, drop_comparisons
from pipeline.report.example_view import view_example
from pipeline.report.leaks import describe_leaks, warn_of_gold
from pipeline.report.report_data import ReportData
from pipeline.report.shortfall import describe_shortfall
from pipeline.report.text_pieces import show_controls
from schemas.ledger import RunRecord
from schemas.tasks import MaskTask

TEMPLATES = files("pipeline.report") / "templates"


@dataclass(frozen=True, slots=True)
class StageSpeed:
    """Speed of a stage over all its sessions."""

    stage: str
    inputs: int
    seconds: float
    work_seconds: float
    share: float
    """Of the wall time of all stages."""


def build_report(data: ReportData) -> str:
    """The report as one HTML document."""
    environment = open_environment("pipeline.report")
    style, script = ((TEMPLATES / name).read_text("utf-8") for name in ("report.css", "report.js"))
    sizes = {size.name: size.rows for size in data.datasets}
    totals = [row for row in data.acceptance if not row.masks]
    return environment.get_template("report.html").render(
        data=data,
        record=data.record,
        style=Markup(style),  # noqa: S704  # own file, not outside text
        script=Markup(script),  # noqa: S704  # own file, not outside text
        policy=write_policy(style, script),
        ceilings=find_ceilings(data.audit),
        attempts=sum(row.attempts for row in totals),
        accepted=sum(row.accepted for row in totals),
        sizes=sizes,
        shortfall=describe_shortfall(data.record, sizes.get(MaskTask.dataset, 0)),
        funnel=lay_funnel(drop_comparisons(data.record.funnel)),
        comparisons=compare_steps(data.record.funnel),
        charts=[layout.lay_histogram(histogram) for histogram in data.histograms],
        frame=layout,
        speeds=_sum_speeds(data.record),
        settings=list(flatten_settings(_choose_settings(data.record))),
        examples=[view_example(number, example) for number, example in enumerate(data.examples, start=1)],
    )


def _choose_settings(record: RunRecord) -> dict[str, object]:
    """Return the configuration as far as it decided anything: of an imported run, how it was judged."""
    return {"judging": record.config["judging"]} if record.imported else record.config


def open_environment(*packages: str) -> Environment:
    """Templates of some packages, the first match wins; values are escaped, and invisible characters written out."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(
        count=lambda number: f"{number:,}", percent=_write_percent, duration=_write_duration, size=_write_size
    )
    environment.filters |= {"gold_warning": warn_of_gold, "leak_rate": describe_leaks}
    return environment


def _finalize(value: Any) -> Any:
    return show_controls(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def write_policy(style: str, script: str | None = None) -> str:
    """Content-Security-Policy that admits only this style and this script."""
    scripts = "'none'" if script is None else _hash_source(script)
    return (
        f"default-src 'none'; style-src {_hash_source(style)}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash_source(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _sum_speeds(record: RunRecord) -> list[StageSpeed]:
    wall = sum(timing.seconds for timing in record.timings)
    speeds = []
    for stage in dict.fromkeys(timing.stage for timing in record.timings):
        sessions = [timing for timing in record.timings if timing.stage == stage]
        seconds = sum(timing.seconds for timing in sessions)
        inputs, work = sum(timing.inputs for timing in sessions), sum(timing.work_seconds for timing in sessions)
        speeds.append(StageSpeed(stage, inputs, seconds, work, seconds / wall if wall else 0.0))
    return speeds


def flatten_settings(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A configuration as dotted keys, each with its value as JSON text."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten_settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)


def _write_percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share in (0, 1) else f"{100 * share:.1f}%"


def _write_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _write_size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
