"""Agents without a language model: they search, compare wordings, and report what they found.

Guarantees: an answer is a stretch of a passage that was shown; a passage that repeats the masked text verbatim decides,
otherwise candidates are scored (`scoring`) and dropped below `LEAST_BELIEF`; an answer is used for one mask only;
replies depend on the progress alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from pipeline.agents.extractive.answer_places import find_listed, gather_places
from pipeline.agents.extractive.candidates import find_candidates
from pipeline.agents.extractive.features import AnswerPlace, MaskView, PassageFeatures, mask_views, read_facts
from pipeline.agents.extractive.filling import TOP, FillingScorer, weigh_texts, write_filling
from pipeline.agents.extractive.labels import load_labels, name_by_signs
from pipeline.agents.extractive.phrasing import AnswerFinding, Wording
from pipeline.agents.extractive.queries import Keyword, build_queries, make_keyword_cutter
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
    TrajectoryProgress,
    read_plainly,
)
from pipeline.search.engine import FoundPassage
from schemas.documents import HOLE
from schemas.trajectories import MaskAnswer

LEAST_BELIEF = 0.1  # minimum belief of an answer: of those just above, one in eight is right
FED_BELIEF = 0.1  # minimum belief of an answer that is put into queries
FIRM_BELIEF = 0.5
SURE_BELIEF = 0.9  # from here on the likeliest answers are not compared
PATIENCE = 2  # steps for one mask that has no firm answer
CACHE_ENTRIES = 4096
MAX_TURNS = 5
LEAST_LABEL = 0.75  # minimum probability of a label that a thought mentions


class ExtractiveAgents:
    """Planner, rewriter and observer by rules, for one language."""

    def __init__(
        self,
        lang: str,
        rarity: Callable[[str], float],
        queries: int = MIN_QUERIES,
        max_turns: int = MAX_TURNS,
        scorer: FillingScorer | None = None,
    ) -> None:
        """`rarity`: inverse document frequency of an index term in the corpus; `queries`: number per step;
        `max_turns`: steps after which the agents answer with what they have; `scorer`: compares the likeliest answers.
        """
        self._scorer = scorer
        self._lang = lang
        self._queries = queries
        self._max_turns = max_turns
        self._rarity = lru_cache(maxsize=1 << 18)(rarity)
        self._labels = load_labels(lang)
        self._trees = load_trees(lang)
        self._cut = make_word_cutter(lang)
        self._cut_keywords = make_keyword_cutter(lang)
        # The plan and the queries of a turn use the findings of the previous ones.
        self._find = lru_cache(maxsize=CACHE_ENTRIES)(self._find_answers)
        self._views = lru_cache(maxsize=CACHE_ENTRIES)(self._make_views)
        self._source = lru_cache(maxsize=CACHE_ENTRIES)(self._make_source)

    @property
    def model(self) -> str:
        """Name of the language model that compares answers; empty without one."""
        return self._scorer.name if self._scorer else ""

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """Choose the weakest unsettled mask, with the reason."""
        task, turn = _plainly(progress.task), len(progress.turns)
        wording = Wording(task.lang, task.masked_text, progress.attempt, turn)
        mask = self._list_searched(progress, turn + 1)[-1]
        view = self._views(task)[mask]
        context, kind = wording.quote_gap(view), wording.name_label(self._guess_label(view))
        if turn == 0:
            place, count = wording.name_place(task.section), str(task.mask_count)
            fields = {"title": task.title, "place": place, "count": count, "hidden": wording.hidden()}
            return PlannedQuestion(wording.say("plan", context=context, kind=kind, **fields), mask)
        finding = self._find(task, progress.seen).get(mask)
        if finding:
            lead = wording.say("lead", answer=finding.answer, source=finding.passage.title)
        else:
            lead = wording.say("no_lead")
        return PlannedQuestion(wording.say("next", turn=str(turn + 1), context=context, kind=kind, lead=lead), mask)

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> tuple[str, ...]:
        """Turn a plan into queries, with the answers found so far."""
        task, mask = _plainly(progress.task), plan.mask or 0
        views = self._views(task)
        findings = self._find(task, progress.seen)
        found = {views[m].offset: f.answer for m, f in findings.items() if m != mask and f.belief >= FED_BELIEF}
        tries = self._list_searched(progress, len(progress.turns)).count(mask)
        lead = findings[mask].answer if mask in findings else ""
        return build_queries(views[mask], self._keywords(task), task.title, tries, found, lead, self._queries)

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """Rank answers from the passages shown, and decide whether to continue."""
        task, turn = _plainly(progress.task), len(progress.turns)
        wording = Wording(task.lang, task.masked_text, progress.attempt, turn)
        findings = self._find(task, progress.seen)
        searched = self._list_searched(progress, turn + 1)
        last = turn + 1 >= self._max_turns or not self._list_unsettled(task, findings, searched)
        if last and self._scorer:
            findings = self._find(task, progress.seen, True)
        lines = [] if progress.seen else [wording.say("empty")]
        lines += [_describe(wording, mask, view, findings.get(mask)) for mask, view in enumerate(self._views(task))]
        answers = tuple(
            MaskAnswer(mask=m, answer=f.answer, evidence=f.passage.passage_id)
            if (f := findings.get(m))
            else MaskAnswer(mask=m, answer=None, evidence=None)
            for m in range(task.mask_count)
        )
        step = NextStep.SEARCH_ON
        if last:
            step = NextStep.ANSWER if len(findings) == task.mask_count else NextStep.GIVE_UP
        count, found = str(task.mask_count), str(len(findings))
        if findings:
            closing = wording.say(
                "close", found=found, count=count, answers=wording.list_answers(findings, FIRM_BELIEF)
            )
        else:
            closing = wording.say("close_none", count=count)
        return Observation("\n".join(lines), step, answers, closing)

    def _list_searched(self, progress: TrajectoryProgress, steps: int) -> list[int]:
        """Return the masks that the first steps search for: each time the unsettled mask that was searched for least,
        of several the one with the least certain answer.
        """
        task, shown, searched = _plainly(progress.task), set[str](), list[int]()
        for step in range(steps):
            findings = self._find(task, progress.seen[: len(shown)])
            unsettled = self._list_unsettled(task, findings, searched) or list(range(task.mask_count))
            searched.append(
                min(unsettled, key=lambda m: (searched.count(m), findings[m].belief if m in findings else 0.0, m))
            )
            if step < len(progress.turns):
                shown.update(passage.passage_id for passage in progress.turns[step].shown)
        return searched

    def _list_unsettled(
        self, task: OpenTask, findings: Mapping[int, AnswerFinding], searched: Sequence[int]
    ) -> list[int]:
        """Return the masks without a firm answer that were searched for less than `PATIENCE` times."""
        return [
            mask
            for mask in range(task.mask_count)
            if searched.count(mask) < PATIENCE and (mask not in findings or findings[mask].belief < FIRM_BELIEF)
        ]

    def _find_answers(
        self, task: OpenTask, seen: tuple[FoundPassage, ...], rerank: bool = False
    ) -> dict[int, AnswerFinding]:
        """Return the best answer to each mask from all passages shown, each answer used once; `rerank`: the scorer
        compares the likeliest.
        """
        findings: dict[int, AnswerFinding] = {}
        for passage in seen:
            for mask, (start, end) in restore_masks(task.masked_text, passage.text).items():
                findings.setdefault(mask, AnswerFinding(passage.text[start:end], passage, start, end, 1.0))
        open_masks = [mask for mask in range(task.mask_count) if mask not in findings]
        if not open_masks or not seen:
            return findings
        ranked = [(mask, answer) for mask in open_masks for answer in self._rank(task, mask, seen, rerank)]
        used = {finding.answer.casefold() for finding in findings.values()}
        for mask, answer in sorted(ranked, key=lambda item: (-item[1].belief, item[0], item[1].answer)):
            if mask not in findings and answer.answer.casefold() not in used:
                findings[mask] = answer
                used.add(answer.answer.casefold())
        return findings

    def _rank(self, task: OpenTask, mask: int, seen: tuple[FoundPassage, ...], rerank: bool) -> list[AnswerFinding]:
        """Return the most likely answers to a mask, each at the place where it fits best."""
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
        if rerank and self._scorer and max(belief.values()) < SURE_BELIEF:
            likeliest = {key: best[key][1].candidate.text for key in _sort_texts(belief)[:TOP]}
            others = {m: f.answer for m, f in self._find(task, seen).items() if m != mask}
            filling = write_filling(task.title, task.masked_text, mask, tuple(likeliest.values()), others)
            belief = weigh_texts(belief, dict(zip(likeliest, self._scorer.score_filling(filling), strict=True)))
        top = _sort_texts(belief)[: task.mask_count + 1]
        chosen = [(best[key][1], belief[key]) for key in top if belief[key] >= LEAST_BELIEF]
        return [
            AnswerFinding(p.candidate.text, passages[p.source.passage_id], p.candidate.start, p.candidate.end, share)
            for p, share in chosen
        ]

    def _believe(self, places: Sequence[AnswerPlace], values: np.ndarray, scores: np.ndarray) -> dict[str, float]:
        """Return the share of belief of each text (case-folded); with trees, of the most likely ones."""
        texts = [place.candidate.text.casefold() for place in places]
        belief = share_belief(scores, texts)
        if self._trees is None:
            return belief
        labels = np.array([read_facts(place.source, place.candidate, self._labels).label for place in places])
        present = sum(belief.values())
        shares = rank_texts(self._trees, values, labels, scores, texts)
        return {text: present * share for text, share in shares.items()}

    def _guess_label(self, view: MaskView) -> str | None:
        if self._lang.split("-")[0] == "zh":
            text, at = view.words.text, view.offset
            return name_by_signs(text[:at], text[at + len(HOLE) :])
        return self._labels.name_likely(self._labels.read_context(view.around), LEAST_LABEL)

    def _keywords(self, task: OpenTask) -> list[Keyword]:
        return self._cut_keywords(self._views(task)[0].words)

    def _make_views(self, task: OpenTask) -> list[MaskView]:
        return mask_views(task.masked_text, self._cut, task.title, self._rarity)

    def _make_source(self, passage: FoundPassage) -> PassageFeatures:
        candidates = tuple(find_candidates(passage.text, self._lang, passage.anchors))
        words = self._cut(passage.text)
        title_terms = frozenset(term for term in self._cut(passage.title).terms if term)
        anchors = frozenset(passage.anchors)
        return PassageFeatures(passage.passage_id, passage.title, words, candidates, anchors, title_terms)


def _plainly(task: OpenTask) -> OpenTask:
    """Return a task whose title and headings have no placeholders of mentions."""
    return replace(task, title=read_plainly(task.title), section=tuple(map(read_plainly, task.section)))


def _sort_texts(belief: Mapping[str, float]) -> list[str]:
    return sorted(belief, key=lambda text: (-belief[text], text))


def _describe(wording: Wording, mask: int, view: MaskView, finding: AnswerFinding | None) -> str:
    number = str(mask + 1)
    if finding is None:
        return wording.say("nothing", number=number, context=wording.quote_gap(view))
    name = "found" if finding.belief == 1.0 else "likely" if finding.belief >= FIRM_BELIEF else "guess"
    snippet = wording.quote_finding(finding)
    return wording.say(name, number=number, source=finding.passage.title, snippet=snippet, answer=finding.answer)
