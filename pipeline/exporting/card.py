"""Dataset card: README.md in the format of the Hub, stating known facts only.

Guarantees: the same export gives the same bytes; it contains no path of the machine and no secret; external text
(titles of models, file names) cannot break out of the YAML header or a table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from pipeline.exporting.column_meanings import list_meanings
from pipeline.exporting.prompt_columns import MOST_TARGETS
from pipeline.exporting.spec import Exporter, Written
from schemas.exports import Purpose
from schemas.funnel import FunnelStep
from schemas.ledger import RunRecord

LICENCES = ("cc-by-sa-3.0", "cc-by-sa-4.0")
"""Licences of Wikipedia's text: 4.0, and 3.0 for text written before June 2023."""
TITLES = {
    Purpose.SFT: "Demonstrations",
    Purpose.RL: "Prompts with gold",
    Purpose.PREFERENCE: "Preference pairs",
}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
BAR = 30
"""Characters of the longest bar."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Facts for a card."""

    exporter: Exporter
    """Exporter of the trainer."""
    written: Written
    """Files written."""
    record: RunRecord
    """Record of the run that the rows come from."""
    statistics: Mapping[Purpose, Mapping[str, Any]]
    """Counts of each table."""
    funnel: tuple[FunnelStep, ...]
    """Totals of what was left out."""
    columns: Mapping[Purpose, tuple[str, ...]]
    """Names of the columns."""
    decontamination: str
    """Description of the decontamination and its result."""


def write_card(facts: CardFacts) -> str:
    """Write README.md."""
    header = yaml.safe_dump(_build_header(facts), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n" + "\n".join(_write_body(facts)) + "\n"


def _build_header(facts: CardFacts) -> dict[str, Any]:
    languages = sorted({lang for table in facts.statistics.values() for lang in table["histograms"]["languages"]})
    configs = [
        {
            "config_name": str(purpose),
            "data_files": [{"split": str(split), "path": file} for split, file in files.items()],
            **({"default": True} if number == 0 else {}),
        }
        for number, (purpose, files) in enumerate(facts.written.files.items())
    ]
    rows = max(sum(table["rows"].values()) for table in facts.statistics.values())
    return {
        "license": "unknown" if facts.record.imported else list(LICENCES),
        "language": sorted({lang.split("-")[0] for lang in languages}),
        "pretty_name": f"{facts.record.run} for {facts.exporter.trainer}",
        "task_categories": ["text-generation", "question-answering"],
        "tags": ["rampforge", "agentic-search", "ramp", str(facts.written.settings.rendering)],
        "size_categories": [next((name for limit, name in SIZES if rows < limit), "1M<n<10M")],
        "configs": configs,
    }


def _write_body(facts: CardFacts) -> Iterator[str]:
    settings, record = facts.written.settings, facts.record
    yield f"# {_clean(record.run)} for {facts.exporter.trainer}"
    yield ""
    if record.imported:
        yield (
            f"Trajectories imported from rows of {_clean(record.imported)} by rampforge {_clean(record.version)}, in "
            f"the format `{settings.rendering}`. What made them, and under which licence they stand, their source "
            "says. Those that called other tools than a search are left out of the demonstrations as `other_tool`."
        )
    else:
        yield (
            "Trajectories that recover facts hidden in Wikipedia passages by searching (RAMP, retrieval-augmented mask "
            f"prediction, arXiv 2505.20285), made by rampforge {_clean(record.version)} in the format "
            f"`{settings.rendering}`."
        )
    yield ""
    for purpose, table in facts.statistics.items():
        yield from _write_table(purpose, table, facts)
    yield from _write_start(facts)
    yield from _write_template(facts)
    yield from _write_funnel(facts.funnel)
    yield "## Decontamination"
    yield ""
    yield _clean(facts.decontamination)
    yield ""
    yield from _write_provenance(facts)
    if record.imported:
        return
    yield "## Licence"
    yield ""
    yield (
        "The passages are Wikipedia text, under CC BY-SA 4.0 (3.0 for what was written before June 2023), and so is "
        "what is made from them. Attribution: the `title` of each row names its page, where the authors are listed."
    )


def _write_table(purpose: Purpose, table: Mapping[str, Any], facts: CardFacts) -> Iterator[str]:
    yield f"## {TITLES[purpose]} (`{purpose}`)"
    yield ""
    rows = [(split, file, table["rows"][split], table["pages"][split]) for split, file in _files(facts, purpose)]
    yield from _draw_table(("split", "file", "rows", "pages"), rows)
    yield "No page is in both splits." if len(rows) > 1 else "No page was set apart for validation."
    yield ""
    meaning = list_meanings(purpose)
    columns = [(name, meaning.get(name, "")) for name in facts.columns[purpose]]
    yield from _draw_table(("column", ""), columns)
    for name, counts in table["histograms"].items():
        yield f"### {name.capitalize()}"
        yield ""
        yield from _draw_bars(counts)
    if table["tokens"]:
        yield "### Tokens"
        yield ""
        yield from _draw_table(("tokens", "number"), [(name, f"{n:,}") for name, n in table["tokens"].items()])


def _write_start(facts: CardFacts) -> Iterator[str]:
    """Write how to train on the files. FOLDER and RUN stand for paths, which the card does not disclose."""
    exporter, written = facts.exporter, facts.written
    if not exporter.command:
        return
    yield "## Train on it"
    yield ""
    yield "```"
    yield from exporter.list_commands(replace(written, base=None), "RUN", "FOLDER")
    yield "```"
    yield ""
    named = [
        "FOLDER is that of this card",
        *(["RUN that of the run"] if exporter.searches and not written.imported else []),
    ]
    notes = (exporter.describe_environment(), exporter.describe_model(written), *exporter.describe_search(written))
    yield " ".join(filter(None, (f"{' and '.join(named)}.", *notes)))
    if Purpose.PREFERENCE in written.files:
        yield (
            "Both attempts of a pair had the same part of the source withheld. Trainers of pairs mask nothing inside "
            "of a completion: search results count in the probabilities of both."
        )
    if Purpose.RL in written.files:
        yield (
            f"A search shows {written.shown} passages, as in the run; a rollout may make {written.searches}. Of the "
            f"combinations of the forms of several masks the lists of right answers hold {MOST_TARGETS} at most; "
            "`golds` has all forms."
        )
    yield ""


def _write_template(facts: CardFacts) -> Iterator[str]:
    """Write what a trainer and a server have to know of the model's chat template."""
    exporter, written = facts.exporter, facts.written
    tokens = bool(written.form and exporter.token_renderings)
    if exporter.thought_field:
        yield f"## Chat template\n\nThoughts stand in the field `{exporter.thought_field}` of messages.\n"
        return
    inline = Purpose.SFT in written.files and not tokens and not (written.form and exporter.applies_template)
    if not (inline or written.notes):
        return
    yield "## Chat template"
    yield ""
    if inline:
        yield (
            "The thoughts of the demonstrations stand between `<think>` tags in the content of messages. What a "
            "trainer makes of them depends on its chat template: some drop the thoughts of earlier turns, move "
            "them, or open one of their own. `rampforge templates check MODEL` shows what a model's template does."
        )
    else:
        yield from (f"- {_clean(note)}" for note in written.notes)
    yield ""


def _files(facts: CardFacts, purpose: Purpose) -> list[tuple[str, str]]:
    return [(str(split), file) for split, file in facts.written.files[purpose].items()]


def _write_funnel(funnel: tuple[FunnelStep, ...]) -> Iterator[str]:
    yield "## What was left out"
    yield ""
    rows = [
        (
            step.stage,
            f"{step.entered:,}",
            f"{step.passed:,}",
            ", ".join(f"{reason} {count:,}" for reason, count in sorted(step.rejected.items())),
        )
        for step in funnel
    ]
    yield from _draw_table(("", "trajectories", "rows", "left out"), rows)


def _write_provenance(facts: CardFacts) -> Iterator[str]:
    record = facts.record
    yield "## Provenance"
    yield ""
    rows: list[tuple[str, str]] = [("run", record.run), ("rampforge", record.version)]
    rows += [("revision", record.revision)] if record.revision else []
    rows += [(f"source {name}", mark) for name, mark in sorted(record.sources.items())]
    rows += [(f"model {name}", revision) for name, revision in sorted(record.models.items())]
    rows += [(f"fingerprint {name}", digest) for name, digest in sorted(record.fingerprints.items())]
    settings = facts.written.settings.model_dump(mode="json")
    rows += [(f"export {name}", json.dumps(value)) for name, value in settings.items()]
    yield from _draw_table(("", ""), rows)


def _draw_table(head: tuple[str, ...], rows: list[Any]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(_clean(str(cell)) for cell in row) + " |"
    yield ""


def _draw_bars(counts: Mapping[str, int]) -> Iterator[str]:
    most = max(counts.values())
    width, digits = max(map(len, counts)), len(f"{most:,}")
    yield "```"
    for label, count in counts.items():
        yield f"{label:<{width}}  {count:>{digits},}  {'█' * max(1, round(BAR * count / most))}"
    yield "```"
    yield ""


def _clean(text: str) -> str:
    """Return text that stays in its cell and is not markup."""
    one_line = " ".join(text.split()).replace("\\", "\\\\")
    return "".join(f"\\{char}" if char in "|<>[]`*_" else char for char in one_line)
