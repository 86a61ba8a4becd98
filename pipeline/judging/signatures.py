"""AttemptSignature of an attempt: when, by what and from how much its answers were found.

Guarantees: a signature follows from the task, the trajectory and the corpus alone, whatever the verdict; time is linear
in what was shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from pipeline.evidence.answer_counts import AnswerCounts
from pipeline.judging.scoring import GoldForm, read_gold
from pipeline.passages.sentences import find_sentences
from pipeline.text.near_copies import is_copy
from pipeline.text.normalisation import holds_tokens, is_unspaced
from schemas.judgements import AttemptSignature, MaskSignature, ShownBy
from schemas.renderings import QuestionKind
from schemas.tasks import GAP, MaskTask
from schemas.trajectories import ShownPassage, Trajectory

WORD_IN_SENTENCE = re.compile(r"(?<=[^\s.!?] )[^\W\d_]\w+|\d+")
SHORTEST_CLUE = 4
"""Letters of a word that counts as context of a gap."""

Fold = Callable[[str], str]


class SignatureReader:
    """What one attempt was shown, folded once."""

    def __init__(self, trajectory: Trajectory, task: MaskTask, fold: Fold, counts: AnswerCounts | None = None) -> None:
        """`fold`: `fold_text`, or a cache of it; `counts`: of the passages of the corpus, where it has an index."""
        self._task, self._fold, self._turns, self._counts = task, fold, trajectory.turns, counts
        self._source = task.fill([span.text for span in task.spans])
        self._passages = {passage.passage_id: passage for turn in trajectory.turns for passage in turn.shown}
        self.origins = {key: self._find_origin(passage) for key, passage in self._passages.items()}
        """What each passage shown is, by its id."""
        self._golds = [read_gold(span) for span in task.spans]
        self._holding = [set(self._find_holding(forms)) for forms in self._golds]
        self._cited = {answer.mask: answer for answer in trajectory.answers}

    def read(self) -> AttemptSignature:
        """Return the signature."""
        masks = tuple(self._sign_mask(mask) for mask in range(len(self._golds)))
        shown = [mask.shown_turn for mask in masks if mask.shown_turn is not None]
        queries = [[call.query for call in turn.calls] for turn in self._turns]
        sent = [query for turn in queries for query in turn]
        masked = self._fold(GAP.sub(" ", self._task.masked_text))
        return AttemptSignature(
            masks=masks,
            shortcut=any(origin is not ShownBy.OTHER for origin in self.origins.values()),
            co_covered=bool(set.intersection(*self._holding)),
            queries=len(sent),
            queries_until_shown=sum(map(len, queries[: max(shown)])) if len(shown) == len(masks) else None,
            verbatim_queries=sum(holds_tokens(masked, self._fold(query)) for query in sent),
            clue_selectivity=None if self._counts is None else self._counts.count_rarest(sent),
            later_turns=sum(bool(turn.calls) for turn in self._turns[1:]),
            chained_turns=sum(self._find_chained()),
        )

    def _find_origin(self, passage: ShownPassage) -> ShownBy:
        if passage.passage_id == self._task.passage_id:
            return ShownBy.SOURCE
        return ShownBy.COPY if is_copy(passage.text, self._source) else ShownBy.OTHER

    def _find_holding(self, forms: Sequence[GoldForm]) -> Iterator[str]:
        for key, passage in self._passages.items():
            texts = self._fold(passage.title), self._fold(passage.text)
            if any(holds_tokens(text, form.folded) for text in texts for form in forms):
                yield key

    def _sign_mask(self, mask: int) -> MaskSignature:
        holding, queried = self._holding[mask], False
        shown_turn, origins = None, list[ShownBy]()
        for number, turn in enumerate(self._turns, start=1):
            queries = [self._fold(call.query) for call in turn.calls]
            queried |= any(holds_tokens(query, form.folded) for query in queries for form in self._golds[mask])
            origins = [self.origins[passage.passage_id] for passage in turn.shown if passage.passage_id in holding]
            if origins:
                shown_turn = number
                break
        return MaskSignature(
            mask=mask,
            shown_turn=shown_turn,
            shown_by=min(origins, key=tuple(ShownBy).index, default=None),
            queried_before_shown=queried,
            support=self._measure_support(mask),
        )

    def _measure_support(self, mask: int) -> int | None:
        """Count the context words of a gap that stand beside the answer in a sentence of the passage that it cites."""
        given = self._cited.get(mask)
        if given is None or given.answer is None or (cited := self._passages.get(given.evidence or "")) is None:
            return None
        golds = {form.folded for form in self._golds[mask]}
        answer = self._fold(given.answer)
        forms = golds if answer in golds else {answer}
        context = set(self._list_context(mask)) - set(_list_terms(answer))
        sentences = [self._fold(cited.text[start:end]) for start, end in find_sentences(cited.text)]
        holding = [text for text in sentences if any(holds_tokens(text, form) for form in forms)]
        return max((len(context.intersection(_list_terms(text))) for text in holding), default=0)

    def _list_context(self, mask: int) -> Iterator[str]:
        """Yield the terms of the gap's sentence, or of a question, without those of the gold and of the title."""
        known = {term for form in self._golds[mask] for term in _list_terms(form.folded)}
        known.update(_list_terms(self._fold(self._task.title)))
        sentence, start = self._task.asked, self._task.spans[mask].start
        if self._task.kind is QuestionKind.RAMP:
            sentence = next((self._source[a:b] for a, b in find_sentences(self._source) if a <= start < b), sentence)
        return (term for term in _list_terms(self._fold(sentence)) if term not in known and _is_clue(term))

    def _find_chained(self) -> Iterator[bool]:
        """Tell for each turn after the first whether a query of it names what an earlier turn showed first."""
        task = self._task
        shown = GAP.sub(" ", " ".join((task.title, *task.section, task.masked_text)))
        known = set(_list_terms(self._fold(shown)))
        found = set[str]()
        for turn in self._turns:
            yield any(not found.isdisjoint(_list_terms(self._fold(call.query))) for call in turn.calls)
            for passage in turn.shown:
                found |= set(self._list_names(passage)) - known

    def _list_names(self, passage: ShownPassage) -> Iterator[str]:
        yield from _list_terms(self._fold(passage.title))
        for word in WORD_IN_SENTENCE.findall(passage.text):
            if not word.islower():
                yield from _list_terms(self._fold(word))
        yield from (term for term in _list_terms(self._fold(passage.text)) if is_unspaced(term[0]))


def _list_terms(folded: str) -> list[str]:
    """Return the words of a folded text; in scripts without spaces, every two characters."""
    tokens = folded.split()
    pairs = [one + other for one, other in pairwise(tokens) if is_unspaced(one[0]) and is_unspaced(other[0])]
    return [token for token in tokens if not is_unspaced(token[0])] + pairs


def _is_clue(term: str) -> bool:
    return len(term) >= SHORTEST_CLUE or term.isdigit() or is_unspaced(term[0])
