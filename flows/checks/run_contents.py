"""Checks of `rampforge verify --deep` besides checksums: rows, assets and sources."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from flows.configuration.cache import cache_folder
from flows.configuration.run_context import RunContext
from flows.configuration.source_ledger import compare_source, list_source_records, look_at_sources
from flows.configuration.sources import ASSET, find_sources
from flows.stages.registry import list_models
from pipeline.assets.catalogue import find_entry
from pipeline.assets.checking import UNKNOWN, find_damage
from pipeline.errors import RampforgeError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.verification.rows import verify_rows
from schemas.config import RunConfig
from schemas.verification import FileFault, Part, Verification, VerificationFinding

LEDGER = (Part.COMMIT, Part.MANIFEST, Part.START, Part.RECORD)


def list_deep_findings(run: RunFolder, found: Verification) -> list[VerificationFinding]:
    """Return the defects in the rows, assets and sources of a run whose files have been compared."""
    broken = {finding.part for finding in found.findings if not finding.harmless}
    findings: list[VerificationFinding] = [] if broken & set(LEDGER) else list(verify_rows(run, list_models()))
    if Part.RECORD in broken:
        return findings
    config = RunConfig.model_validate(run.record().config)
    sources = [] if Part.SOURCES in broken else compare_sources(RunContext(run, config, cache_folder()))
    return [*findings, *check_assets(config), *sources]


def compare_sources(context: RunContext) -> Iterator[VerificationFinding]:
    """Return the sources that differ from what was read. Those on a store or a hub are skipped."""
    known = {record.name: record for record in list_source_records(context.run)}
    again = f"rampforge resume {shlex.quote(context.run.location)} --redo corpus"
    fix = f"put the file back as it was; `{again}` reads it anew"
    try:
        sources = find_sources(context)
        names = dict(zip((record.name for record in look_at_sources(sources)), sources, strict=True))
    except RampforgeError as error:
        yield VerificationFinding(
            file="corpus.sources", fault=FileFault.MISSING, what=error.what, part=Part.SOURCE, fix=error.fix
        )
        return
    for name, record in known.items():
        if name not in names:
            yield VerificationFinding(file=name, fault=FileFault.MISSING, what="missing", part=Part.SOURCE, fix=fix)
        elif Path(names[name]).exists() and (differing := compare_source(record, names[name], sources)):
            yield VerificationFinding(
                file=names[name], fault=FileFault.DAMAGED, what=differing, part=Part.SOURCE, fix=fix
            )


def check_assets(config: RunConfig) -> Iterator[VerificationFinding]:
    """Return the configured assets that differ from what was fetched."""
    sources = [source.removeprefix(ASSET) for source in config.corpus.sources if source.startswith(ASSET)]
    models = [config.masking.ner, config.masking.scorer, config.search.dense.encoder, config.search.hybrid.reranker]
    for name in dict.fromkeys([*sources, *(model for model in models if model)]):
        entry = find_entry(name)
        if entry is None or not (cache_folder() / name).exists():
            continue
        damage = find_damage(name, cache_folder())
        if damage is None:
            yield VerificationFinding(file=name, fault=FileFault.UNRECORDED, what=UNKNOWN, part=Part.ASSET)
        elif damage:
            folder = cache_folder() / name
            fix = f"remove {folder}, then `rampforge assets get {name}`"
            yield VerificationFinding(file=name, fault=FileFault.DAMAGED, what=damage, part=Part.ASSET, fix=fix)
