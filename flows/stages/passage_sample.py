"""The passages that spans are sought in, where the number of tasks is limited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from flows.configuration.run_context import RunContext
from flows.stages.inputs import read_dataset, share_limit
from flows.stages.span_resources import open_ambiguity, open_counts, open_evidence
from schemas.config import RunConfig, StageName
from schemas.documents import Redirect
from schemas.masking_config import EvidenceScope, Selection
from schemas.passages import Passage


def sample_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys that decide which passages are searched for spans."""
    if config.masking.limit is None:
        return ("masking.limit",)
    return ("masking.limit", "seed", "masking.tasks_per_passage", *evidence_keys(config))


def evidence_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys that decide which spans have evidence, and so which passages are sampled first."""
    if config.masking.evidence is EvidenceScope.NONE:
        return ("masking.evidence",)
    names = ["evidence", "evidence_clues", "links", "rules", "min_chars", "max_words"]
    names += [name for name in ("drop_ambiguous", "hide_mentions") if getattr(config.masking, name)]
    if is_bounded(config):
        names.append("min_difficulty")
    return (*(f"masking.{name}" for name in names), "search.tokenizer")


def find_sample(context: RunContext, shard: str) -> frozenset[str] | None:
    """Ids of the passages of a shard that spans are sought in; None for all."""
    from pipeline.masking.sampling import count_needed, count_spans, sample_passages
    from pipeline.masking.span_stage import SpanStage

    config = context.config.masking
    needed = count_needed(config.limit, config.tasks_per_passage) if config.limit else None
    quota = share_limit(context, StageName.DEDUP, Passage, shard, needed)
    if quota is None:
        return None
    spans = None
    if config.evidence is not EvidenceScope.NONE:
        cheap = config.model_copy(update={"ner": None})
        stage = SpanStage(
            cheap,
            aliases_of=find_redirects(context, shard),
            evidence=open_evidence(context),
            counts=open_counts(context),
            ambiguity=open_ambiguity(context),
        )
        spans = count_spans(stage, read_dataset(context, Passage, shard))
    passages = read_dataset(context, Passage, shard)
    return sample_passages(passages, quota, context.config.seed, spans, _count_masks(context.config))


def _count_masks(config: RunConfig) -> int:
    """Spans that a passage of the sample should have, for the largest tasks of this run or of a distillation."""
    from pipeline.masking.sampling import USUAL_MASKS

    counts = (config.masking.mask_counts, *config.distill.curriculum, config.distill.validation.mask_counts)
    return max(USUAL_MASKS, *chain.from_iterable(counts))


def find_redirects(context: RunContext, shard: str) -> Mapping[str, Sequence[str]]:
    """The titles that redirect to what a shard's passages link to."""
    from pipeline.masking.redirect_aliases import find_aliases

    targets = {link.target for passage in read_dataset(context, Passage, shard) for link in passage.links}
    return find_aliases(context.run.files(Redirect.dataset), targets)


def is_bounded(config: RunConfig) -> bool:
    """Whether spans are dropped for their surprisal and difficulty."""
    return config.masking.selection is not Selection.RANDOM


def sample_fingerprints(context: RunContext) -> Mapping[str, str]:
    """What the sample depends on besides `sample_keys`."""
    from pipeline.masking.sampling import USUAL_MASKS

    masking = context.config.masking
    if not masking.limit or masking.evidence is EvidenceScope.NONE:
        return {}
    most = _count_masks(context.config)
    return {**name_bounds(context), **({"spans preferred": str(most)} if most > USUAL_MASKS else {})}


def name_bounds(context: RunContext) -> Mapping[str, str]:
    """Whether spans are held to bounds, as a fact of a fingerprint."""
    return {"bounds": "used" if is_bounded(context.config) else "unused"}
