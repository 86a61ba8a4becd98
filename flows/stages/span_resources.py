"""What finds and judges spans, opened as a configuration names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.configuration.run_context import RunContext
from flows.configuration.sources import JIEBA, find_revision
from flows.models.serving import names_served_scorer
from flows.search_engines.registry import needs_index
from pipeline.assets.store import resolve_model
from schemas.masking_config import EvidenceScope

if TYPE_CHECKING:
    from spacy.language import Language

    from pipeline.evidence.answer_counts import AnswerCounts
    from pipeline.evidence.finder import EvidenceFinder
    from pipeline.masking.ambiguity import AmbiguityCheck
    from pipeline.masking.causal_scorer import CausalScorer
    from pipeline.masking.span_stage import SpanStage
    from pipeline.search.tokens import Tokenizer


def open_evidence(context: RunContext) -> EvidenceFinder | None:
    """The finder of evidence elsewhere in the corpus, where the configuration asks for evidence."""
    from pipeline.evidence.finder import EvidenceFinder
    from pipeline.search.bm25 import Bm25Engine

    config = context.config.masking
    if config.evidence is EvidenceScope.NONE:
        return None
    index, clues = context.run.fetch_index(), config.evidence_clues
    return context.resources.keep("evidence", (index, clues), lambda: EvidenceFinder(Bm25Engine(index), clues))


def open_ambiguity(context: RunContext) -> AmbiguityCheck | None:
    """The check of spans for rival answers, where the configuration drops those that have one."""
    from pipeline.masking.ambiguity import AmbiguityCheck
    from pipeline.reachability.rivals import RivalFinder
    from pipeline.search.bm25 import Bm25Engine

    if not context.config.masking.drop_ambiguous:
        return None
    index, masking = context.run.fetch_index(), context.config.masking
    scope, mentions = masking.evidence, masking.hide_mentions

    def open_check() -> AmbiguityCheck:
        engine = Bm25Engine(index)
        return AmbiguityCheck(engine.tokenize, RivalFinder(engine), scope, mentions)

    return context.resources.keep("rival answers", (index, scope, mentions), open_check)


def open_tokenizer(context: RunContext) -> Tokenizer | None:
    """The function from text to index terms, where spans have evidence."""
    from pipeline.search.tokens import make_tokenizer

    config = context.config
    evidence = config.masking.evidence is not EvidenceScope.NONE
    return make_tokenizer(config.corpus.lang, config.search.tokenizer) if evidence else None


def open_counts(context: RunContext) -> AnswerCounts | None:
    """The counts of passages that hold a span's words, where the run has an index."""
    from pipeline.evidence.answer_counts import AnswerCounts
    from pipeline.search.bm25 import Bm25Engine

    if not needs_index(context.config):
        return None
    index = context.run.fetch_index()
    return context.resources.keep("answer counts", index, lambda: AnswerCounts(Bm25Engine(index)))


def open_ner(context: RunContext) -> Language | None:
    """The recogniser of names, unless the configuration leaves it out."""
    from pipeline.masking.entities import load_ner

    name = context.config.masking.ner
    if name is None or name == JIEBA:
        return None
    path = str(resolve_model(name, context.cache))
    return context.resources.keep("recogniser", path, lambda: load_ner(path))


def open_scorer(context: RunContext) -> Any:
    """The language model behind the surprisals, named with its revision."""
    from flows.models.serving import open_served_scorer

    name = context.config.masking.scorer
    if name is None:
        return None
    if names_served_scorer(context.config):
        return open_served_scorer(context.config, context.cache)
    return open_local_scorer(context, name)


def open_local_scorer(context: RunContext, name: str) -> CausalScorer:
    """The language model on this machine that `masking.scorer` names."""
    from pipeline.masking.causal_scorer import load_scorer  # imports torch

    config, path = context.config.masking, str(resolve_model(name, context.cache))
    revision = f"{name} {find_revision(context, name)}"
    key = path, config.device, config.precision
    return context.resources.keep("scorer", key, lambda: load_scorer(path, config.device, revision, config.precision))


def open_assessor(context: RunContext) -> SpanStage:
    """The filters and the difficulty of spans, without their sources."""
    from pipeline.masking.span_stage import SpanStage

    return SpanStage(context.config.masking, scorer=open_scorer(context), counts=open_counts(context))
