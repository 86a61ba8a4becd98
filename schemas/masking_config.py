"""Configuration of masking: which spans are hidden, and how many."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from schemas.custom_parts import COMPONENT
from schemas.record import Frozen
from schemas.tasks import MOST_MASKS, AnswerStyle


class Selection(StrEnum):
    """Strategy for drawing the spans to hide from the candidates."""

    RANDOM = "random"
    PERPLEXITY = "perplexity"
    BAND = "band"
    DIFFICULTY = "difficulty"


class Precision(StrEnum):
    """Number format in which a local scorer computes."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class EvidenceScope(StrEnum):
    """Where the answer of a hidden span must stand besides its own passage."""

    NONE = "none"
    PASSAGE = "passage"
    """In another passage, of the same page or another."""
    PAGE = "page"
    """In a passage of another page."""


class MaskingConfig(Frozen):
    """Selection of the spans to hide."""

    limit: int | None = Field(default=None, ge=1)
    """Maximum number of tasks; passages are then sampled evenly over the corpus. Null: every passage."""
    tasks_per_passage: int = Field(default=1, ge=1, le=8)
    """Maximum number of tasks from one passage; they share no span."""
    ner: str | None = "en_core_web_sm"
    """Named-entity recogniser: a spaCy pipeline (an asset, an installed package, a folder), `jieba` for Chinese, or
    null."""
    links: bool = True
    """Use the page's own wikilinks."""
    rules: bool = True
    """Use the date and number rules."""
    extractor: bool = False
    """Also propose spans with the model of the role `extractor`."""
    extractor_tokens: int = Field(default=1024, ge=16)
    """Maximum tokens of an extractor reply, unless `llm.roles` sets it."""
    extractor_function: str | None = Field(default=None, pattern=COMPONENT)
    """Also take spans from a function of your own, MODULE:FUNCTION, called as `function(text, title, lang)`; it returns
    triples of start, end and kind (`entity`, `date`, `number`, `term`)."""
    scorer: str | None = "smollm2-135m-instruct"
    """Causal language model for surprisals: an asset, a folder or a hub name; null: none."""
    device: str = "auto"
    """Device of the scorer: auto, cpu, cuda, cuda:1, mps."""
    precision: Precision = Precision.AUTO
    """Number format of the scorer. `auto`: bfloat16 on CPUs with instructions for it (AVX512-BF16, AMX), a third of the
    time there, and float32 elsewhere. On a cluster of different CPUs name one, since it decides the numbers."""
    min_chars: int = Field(default=2, ge=1)
    """Minimum characters of a span; shorter ones are dropped, except digits."""
    max_words: int = Field(default=8, ge=1)
    """Maximum words of a span; longer ones are dropped."""
    min_surprisal: float = Field(default=2.0, ge=0)
    """Lower bound of the band, in nats: names and terms below it can be inferred from the context. Dates and numbers
    are exempt, since a language model finds every digit easy."""
    max_surprisal: float | None = Field(default=None, gt=0)
    """Upper bound of the band, in nats: spans above it are noise. Null: none are."""
    min_difficulty: float = Field(default=0.4, ge=0, lt=1)
    """Lower bound of a span's difficulty, the estimated probability that only a search recovers it, from its kind, its
    surprisal and the number of passages with its words; what is not known (no scorer, no index) is left out."""
    closed_book_sample: int = Field(default=0, ge=0)
    """Masks of the run, drawn evenly, that the scorer is asked to fill without a search; audit and report then tell the
    share that it fills. 0: none. Name the model that is to be trained as the scorer."""
    drop_known: bool = False
    """Drop the spans that the scorer fills without a search."""
    selection: Selection = Selection.BAND
    """`random`: any span; `band`: any span within these bounds; `difficulty`: the most difficult first, within them;
    `perplexity`: those of the highest surprisal, which is the perplexity of the span as a whole, first, within them.
    Terms, names of places other than countries and cities, of peoples and languages, and names that end in a common
    noun are always the last resort."""
    evidence: EvidenceScope = EvidenceScope.NONE
    """Mask only spans that other text of the corpus gives again: `passage` (of any page), `page` (of another page), or
    `none` (any span)."""
    evidence_clues: int = Field(default=3, ge=1, le=8)
    """Rare words that a sentence of evidence must share with the span's sentence or its page's title: fewer give more
    tasks, more give tasks that are solved more often."""
    hide_mentions: bool = False
    """Also hide the other mentions of an answer in the passage, its headings and its title (its text, an alias, for a
    person the bare surname), as `[=mask N]`. Otherwise a span with a mention is dropped, since that gives it away."""
    drop_ambiguous: bool = False
    """With `evidence`: drop the spans that have a rival, which is another answer of the kind in a sentence elsewhere
    with the same clues, and hide no span whose hiding would give another one a rival."""
    min_pages: int = Field(default=1, ge=1, le=MOST_MASKS)
    """With `evidence`: choose the masks of a task so that at least so many pages must be read to answer all of
    them, as far as evidence is known. A passage without such masks is rejected as `too_few_pages`."""
    reachable: bool = True
    """With `evidence`, and a search engine over the run's own passages: keep only tasks that an oracle finishes within
    `agents.max_turns` while the source is withheld. The oracle knows golds and evidence, but its queries hold only what
    was shown to it."""
    mask_counts: tuple[int, ...] = (1, 2, 3, 4)
    """Allowed numbers of masks, 1 to 8; tasks are balanced over them as far as passages allow."""
    answer_style: AnswerStyle = AnswerStyle.SPANS
    """Form of the answer that the solver is asked for."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.max_surprisal is not None and self.min_surprisal >= self.max_surprisal:
            raise ValueError("min_surprisal must be below max_surprisal")
        if not self.mask_counts or not set(self.mask_counts) <= set(range(1, MOST_MASKS + 1)):
            raise ValueError(f"mask_counts takes numbers from 1 to {MOST_MASKS}")
        if self.min_pages > 1 and self.evidence is EvidenceScope.NONE:
            raise ValueError("min_pages above 1 needs evidence; set masking.evidence=page")
        if self.drop_ambiguous and self.evidence is EvidenceScope.NONE:
            raise ValueError("drop_ambiguous needs evidence; set masking.evidence=passage")
        if self.min_pages > min(self.mask_counts):
            raise ValueError("mask_counts must not be below min_pages: a mask needs one page")
        if self.scorer is None and self.selection is Selection.PERPLEXITY:
            raise ValueError("selection perplexity needs a scorer; set masking.selection=difficulty")
        if self.scorer is None and (self.drop_known or self.closed_book_sample):
            raise ValueError("closed_book_sample and drop_known need a scorer")
        return self
