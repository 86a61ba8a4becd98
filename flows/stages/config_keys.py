"""Which keys of the configuration decide the rows of a stage, under that configuration.

A key that decides nothing - a perplexity band without a scorer, the votes of a judge that is not asked - binds no run:
it may be set otherwise when the run is continued. The models that play a stage's roles are noted beside these keys.
"""

from __future__ import annotations

from flows.models.policy import plays_policy
from flows.models.serving import names_served_scorer
from flows.search_engines.registry import LOCAL, needs_index
from pipeline.judging.judge_stage import RULE_KEYS
from schemas.config import CorpusConfig, RunConfig, Selection
from schemas.search_config import EngineKind

ENGINE_KEYS = {
    EngineKind.DENSE: ("search.dense",),
    EngineKind.HYBRID: ("search.dense", "search.hybrid"),
    EngineKind.HTTP: ("search.protocol",),
    EngineKind.WEB: ("search.web",),
    EngineKind.SIMULATED: ("search.simulated",),
}
"""What one engine goes by and the others do not."""
TERM_KEYS = ("search.k1", "search.b", "search.tokenizer")


def corpus_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides which pages are kept, and their text."""
    unused = set() if config.corpus.lang.startswith("zh") else {"simplify_chinese"}
    return tuple(f"corpus.{key}" for key in CorpusConfig.model_fields if key not in unused)


def sample_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides which passages are looked at."""
    sampled = config.masking.limit is not None
    return ("masking.limit", *(("seed", "masking.tasks_per_passage") if sampled else ()))


def proposal_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides what the extractor is asked, and how often."""
    return (*sample_keys(config), "masking.extractor_tokens", "agents.parse_retries")


def is_banded(config: RunConfig) -> bool:
    """Whether spans are dropped for their perplexity."""
    return config.masking.scorer is not None and config.masking.selection is not Selection.RANDOM


def span_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides which spans may be hidden."""
    keys = [*sample_keys(config)]
    keys += [f"masking.{key}" for key in ("extractor", "ner", "links", "rules", "scorer", "min_chars", "max_words")]
    if config.masking.scorer is not None and not names_served_scorer(config):
        keys.append("masking.device")
    if is_banded(config):
        keys += ["masking.min_perplexity", "masking.max_perplexity"]
    return tuple(keys)


def task_keys(_: RunConfig) -> tuple[str, ...]:
    """What decides which of the spans are hidden."""
    names = ("limit", "tasks_per_passage", "selection", "mask_counts", "answer_style")
    return ("seed", *(f"masking.{name}" for name in names))


def index_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides an index, besides its vectors."""
    return (*TERM_KEYS, *(("search.engine",) if config.search.engine in LOCAL else ()))


def attempt_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides how tasks are attempted."""
    search = ["search.engine", "search.k", "search.hide", "search.hide_copies"]
    search += ENGINE_KEYS.get(config.search.engine, ())
    search += TERM_KEYS if needs_index(config) else ()
    if config.agents.policy == "agents":
        return (*search, "agents")
    keys = (*search, "agents.policy", "agents.attempts")
    return keys if plays_policy(config) else (*keys, "agents.max_turns", "agents.queries_per_turn")


def judging_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides which attempts are accepted."""
    if config.judging.judge == "llm":
        return ("judging",)
    return ("judging.judge", *(f"judging.{key}" for key in sorted(RULE_KEYS)))


def difficulty_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides what is asked without searching, and which answers are right."""
    if not config.policy.closed_book:
        return ("policy.closed_book",)
    asked = ("closed_book", "temperature", "top_p", "max_turn")
    return (*(f"policy.{key}" for key in asked), "judging.min_fuzzy", "judging.min_recall")
