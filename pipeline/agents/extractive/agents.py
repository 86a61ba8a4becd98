"""Agents without a language model: they search, compare wordings, and say what they found or that they found nothing.

Promises: an answer is always a stretch of a passage that was shown; a passage that repeats the masked text word for
word settles it, everything else is weighed (`pipeline.agents.extractive.scoring`) and given up below `LEAST_BELIEF`;
an answer is used for one mask only; replies depend on the ask alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from pipeline.agents.extractive.answer_places import find_listed, gather_places
from pipeline.agents.extractive.candidates import find_candidates
from pipeline.agents.extractive.features import AnswerPlace, MaskView, PassageFeatures, mask_views, read_facts
from pipeline.agents.extractive.labels import load_labels
from pipeline.agents.extractive.phrasing import AnswerFinding, Wording
from pipeline.agents.extractive.queries import build_queries
from pipeline.agents.extractive.ranking import load_trees, rank_texts
from pipeline.agents.extractive.restoration import restore_masks
from pipeline.agents.extractive.scoring import measure_places, share_belief
from pipeline.agents.extractive.weights import BIAS, WEIGHTS
from pipeline.agents.extractive.words import make_word_cutter
from pipeline.agents.roles import (
    MIN_QUERIES,
    NextStep,
    Observation,
    OpenTask,
    PlannedQuestion,
    Queries,
    TrajectoryProgress,
)
from pipeline.search.engine import FoundPassage
from schemas.trajectories import MaskAnswer

LEAST_BELIEF = 0.002  # a weak sign is said to be one; below this there is none
FIRM_BELIEF = 0.5
PATIENCE = 1  # turns spent on one mask before what is known must do: a second one finds chance mentions, hardly answers
REMEMBERED = 4096
LEAST_LABEL = 0.5  # below it a thought does not say what kind of thing is sought


class ExtractiveAgents:
    """Planner, rewriter and observer by rules, for one language."""

    def __init__(self, lang: str, rarity: Callable[[str], float], queries: int = MIN_QUERIES) -> None:
        """`rarity` gives the inverse document frequency of an index term in the corpus searched; `queries`: a step."""
        self._lang = lang
        self._queries = queries
        self._rarity = lru_cache(maxsize=1 << 18)(rarity)
        self._labels = load_labels(lang)
        self._trees = load_trees(lang)
        self._cut = make_word_cutter(lang)
        # A turn's findings are asked for again by the next turn's plan and queries.
        self._weighed = lru_cache(maxsize=REMEMBERED)(self._weigh_seen)
        self._views = lru_cache(maxsize=REMEMBERED)(self._make_views)
        self._source = lru_cache(maxsize=REMEMBERED)(self._make_source)

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """Pick the mask to work on and say why."""
        task, turn = progress.task, len(progress.turns)
        wording = Wording(task.lang, task.masked_text, progress.attempt, turn)
        unsettled = [answer.mask for answer in progress.answers if answer.answer is None] or [0]
        mask = unsettled[turn % len(unsettled)]
        view = self._views(task)[mask]
        context, kind = wording.quote_gap(view), wording.name_label(self._guess_label(view))
        if turn == 0:
            place, count = wording.name_place(task.section), str(task.mask_count)
            fields = {"title": task.title, "place": place, "count": count, "hidden": wording.hidden()}
            return PlannedQuestion(wording.say("plan", context=context, kind=kind, **fields), mask)
        finding = self._weigh(progress).get(mask)
        if finding:
            lead = wording.say("lead", answer=finding.answer, source=finding.passage.title)
        else:
            lead = wording.say("no_lead")
        return PlannedQuestion(wording.say("next", turn=str(turn + 1), context=context, kind=kind, lead=lead), mask)

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Queries:
        """Turn a plan into queries."""
        task, turn = progress.task, len(progress.turns)
        mask = plan.mask or 0
        finding = self._weigh(progress).get(mask) if turn else None
        lead = finding.answer if finding else ""
        return Queries(build_queries(self._views(task)[mask], task.title, task.section, turn, lead, self._queries))

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """Weigh what was shown and decide whether to go on."""
        task, turn = progress.task, len(progress.turns)
        wording = Wording(task.lang, task.masked_text, progress.attempt, turn)
        findings = self._weigh(progress)
        views = self._views(task)
        said = [] if progress.seen else [wording.say("empty")]
        for mask, view in enumerate(views):
            said.append(_describe(wording, mask, view, findings.get(mask)))
        answers = tuple(
            MaskAnswer(mask=m, answer=f.answer, evidence=f.passage.passage_id)
            if (f := findings.get(m))
            else MaskAnswer(mask=m, answer=None, evidence=None)
            for m in range(task.mask_count)
        )
        firm = all(m in findings and findings[m].belief >= FIRM_BELIEF for m in range(task.mask_count))
        step = NextStep.SEARCH_ON
        if firm or turn + 1 >= PATIENCE + task.mask_count - 1:
            step = NextStep.ANSWER if len(findings) == task.mask_count else NextStep.GIVE_UP
        count, found = str(task.mask_count), str(len(findings))
        if findings:
            closing = wording.say(
                "close", found=found, count=count, answers=wording.list_answers(findings, FIRM_BELIEF)
            )
        else:
            closing = wording.say("close_none", count=count)
        return Observation("\n".join(said), step, answers, closing)

    def _weigh(self, progress: TrajectoryProgress) -> dict[int, AnswerFinding]:
        return self._weighed(progress.task, progress.seen)

    def _weigh_seen(self, task: OpenTask, seen: tuple[FoundPassage, ...]) -> dict[int, AnswerFinding]:
        """The best answer to each mask from all that was seen, each answer used once."""
        findings: dict[int, AnswerFinding] = {}
        for passage in seen:
            for mask, (start, end) in restore_masks(task.masked_text, passage.text).items():
                findings.setdefault(mask, AnswerFinding(passage.text[start:end], passage, start, end, 1.0))
        open_masks = [mask for mask in range(task.mask_count) if mask not in findings]
        if not open_masks or not seen:
            return findings
        offers = [(mask, offer) for mask in open_masks for offer in self._offer(task, mask, seen)]
        used = {finding.answer.casefold() for finding in findings.values()}
        for mask, offer in sorted(offers, key=lambda item: (-item[1].belief, item[0], item[1].answer)):
            if mask not in findings and offer.answer.casefold() not in used:
                findings[mask] = offer
                used.add(offer.answer.casefold())
        return findings

    def _offer(self, task: OpenTask, mask: int, seen: tuple[FoundPassage, ...]) -> list[AnswerFinding]:
        """The few most believable answers to a mask, read where each fits best."""
        view = self._views(task)[mask]
        passages = {passage.passage_id: passage for passage in seen}
        places = gather_places(view, [self._source(passage) for passage in seen], task.title)
        if not places:
            return []
        listed = find_listed(view, self._lang)
        values = measure_places(view, places, listed, self._labels, task.title)
        scores = values @ WEIGHTS + BIAS
        belief = self._believe(places, values, scores)
        best: dict[str, tuple[float, AnswerPlace]] = {}
        for place, score in zip(places, scores.tolist(), strict=True):
            key = place.candidate.text.casefold()
            if key not in best or score > best[key][0]:
                best[key] = (score, place)
        top = sorted(belief, key=lambda key: (-belief[key], key))[: task.mask_count + 1]
        chosen = [(best[key][1], belief[key]) for key in top if belief[key] >= LEAST_BELIEF]
        return [
            AnswerFinding(p.candidate.text, passages[p.source.passage_id], p.candidate.start, p.candidate.end, share)
            for p, share in chosen
        ]

    def _believe(self, places: Sequence[AnswerPlace], values: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        """Share of belief of each text (case-folded) that is worth a thought."""
        texts = [place.candidate.text.casefold() for place in places]
        belief = share_belief(scores, texts)
        if self._trees is None:
            return belief
        labels = np.array([read_facts(place.source, place.candidate, self._labels).label for place in places])
        here = sum(belief.values())
        return {text: here * share for text, share in rank_texts(self._trees, values, labels, scores, texts).items()}

    def _guess_label(self, view: MaskView) -> str | None:
        return self._labels.name_likely(self._labels.read_context(view.around), LEAST_LABEL)

    def _make_views(self, task: OpenTask) -> list[MaskView]:
        return mask_views(task.masked_text, self._cut, task.title, self._rarity)

    def _make_source(self, passage: FoundPassage) -> PassageFeatures:
        candidates = tuple(find_candidates(passage.text, self._lang, passage.anchors))
        words = self._cut(passage.text)
        return PassageFeatures(passage.passage_id, passage.title, words, candidates, frozenset(passage.anchors))


def _describe(wording: Wording, mask: int, view: MaskView, finding: AnswerFinding | None) -> str:
    number = str(mask + 1)
    if finding is None:
        return wording.say("nothing", number=number, context=wording.quote_gap(view))
    name = "found" if finding.belief == 1.0 else "likely" if finding.belief >= FIRM_BELIEF else "guess"
    snippet = wording.quote_finding(finding)
    return wording.say(name, number=number, source=finding.passage.title, snippet=snippet, answer=finding.answer)
