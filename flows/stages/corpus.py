"""The stage that reads the sources into documents."""

from __future__ import annotations

from collections.abc import Mapping

from flows.configuration.provenance import fingerprint_sources
from flows.configuration.run_context import RunContext
from flows.configuration.sources import find_sources
from flows.stages.library_versions import OPENCC, is_chinese
from flows.stages.spec import RoundPart, StageSpec
from schemas.config import CorpusConfig, RunConfig, StageName
from schemas.documents import Document, Redirect
from schemas.scale_plan import ScaleUnit


def _source_fingerprints(context: RunContext) -> Mapping[str, str]:
    fingerprints = fingerprint_sources(find_sources(context))
    return {f"source {name}": fingerprint for name, fingerprint in fingerprints.items()}


def corpus_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides which pages are kept, and their text."""
    unused = set() if config.corpus.lang.startswith("zh") else {"simplify_chinese"}
    return tuple(f"corpus.{key}" for key in CorpusConfig.model_fields if key not in unused)


def reading_packages(config: RunConfig) -> tuple[str, ...]:
    """What reads and cleans pages."""
    return ("mwxml", *((OPENCC,) if config.corpus.simplify_chinese and is_chinese(config) else ()))


CORPUS = StageSpec(
    StageName.CORPUS,
    "Read the sources into cleaned documents (documents/, redirects/).",
    inputs=(),
    unit="page",
    scales_with=ScaleUnit.WORDS,
    config_keys=corpus_keys,
    outputs=(Document, Redirect),
    fingerprint_inputs=_source_fingerprints,
    packages=reading_packages,
    part_of_round=RoundPart.SHARED,
)
