"""Which packages decide the rows of a stage, as configured: their versions are written into its ledger.

A run whose rows were begun under other versions is continued only when that is asked for (`--other-version`).
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from flows.configuration.provenance import rampforge_version
from flows.configuration.sources import JIEBA
from flows.models.serving import names_served_scorer
from schemas.config import RunConfig
from schemas.search_config import EngineKind

OPENCC = "opencc-python-reimplemented"
TOKENIZERS = {"english": ("PyStemmer",), "jieba": ("jieba",)}
"""What the tokenizers of BM25 are made of."""
MODELS = ("torch", "transformers")
ENDPOINT = "endpoint:"


def list_versions(packages: Iterable[str]) -> dict[str, str]:
    """Our own version and those of some packages."""
    return {"rampforge": rampforge_version()} | {name: _find_version(name) for name in packages}


def _find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def reading_packages(config: RunConfig) -> tuple[str, ...]:
    """What reads and cleans pages."""
    return ("mwxml", *((OPENCC,) if config.corpus.simplify_chinese and _is_chinese(config) else ()))


def signing_packages(_: RunConfig) -> tuple[str, ...]:
    """What near-duplicates are found by."""
    return ("datasketch",)


def span_packages(config: RunConfig) -> tuple[str, ...]:
    """What finds names and measures perplexities."""
    ner, scorer = config.masking.ner, config.masking.scorer
    found: list[str] = []
    if ner is not None:
        found += ["jieba", OPENCC] if ner == JIEBA else ["spacy"]
    if config.corpus.lang.startswith("en"):
        found.append("PyStemmer")
    if scorer is not None:
        found += MODELS[1:] if names_served_scorer(config) else MODELS
    return tuple(found)


def index_packages(config: RunConfig) -> tuple[str, ...]:
    """What cuts text into terms, and makes vectors and searches them."""
    from pipeline.search.tokens import choose_tokenizer

    found = TOKENIZERS.get(choose_tokenizer(config.search.tokenizer, config.corpus.lang), ())
    if config.search.engine not in (EngineKind.DENSE, EngineKind.HYBRID):
        return found
    return (*found, "faiss-cpu", *(() if config.search.dense.encoder.startswith(ENDPOINT) else MODELS))


def attempt_packages(config: RunConfig) -> tuple[str, ...]:
    """What searches, and what the extractive agents and a policy's tokenizer are made of."""
    found = [*index_packages(config)]
    if config.agents.policy == "extractive":
        found += ["PyStemmer"] if config.corpus.lang.startswith("en") else []
        found += ["jieba"] if _is_chinese(config) else []
    if config.agents.policy == "policy":
        found.append("transformers")
    return tuple(dict.fromkeys(found))


def judging_packages(config: RunConfig) -> tuple[str, ...]:
    """What compares answers."""
    return ("rapidfuzz", *((OPENCC,) if _is_chinese(config) else ()))


def difficulty_packages(config: RunConfig) -> tuple[str, ...]:
    """What compares the answers that were given without searching."""
    return judging_packages(config) if config.policy.closed_book else ()


def _is_chinese(config: RunConfig) -> bool:
    return config.corpus.lang.startswith("zh")
