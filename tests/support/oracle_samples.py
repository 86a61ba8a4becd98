"""Tasks of made-up words with evidence, for the tests of the oracle: a search can solve most of them."""

from __future__ import annotations

import random
from collections.abc import Sequence, Set
from pathlib import Path

from pipeline.evidence.finder import EvidenceFinder
from pipeline.masking.task_stage import build_task
from pipeline.search.batching import BatchedSearch
from pipeline.search.bm25 import Bm25Engine, build_index
from pipeline.search.engine import SearchRequest, make_call
from pipeline.search.source_hiding import SourceHidingSearch
from schemas.passages import Passage
from schemas.search_config import SearchConfig
from schemas.tasks import AnswerStyle, MaskTask
from schemas.trajectories import SearchCall
from tests.support.passage_samples import make_passage, write_shards
from tests.support.trajectory_samples import make_span

CLUES = 2
LATIN = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("rok", "vin", "mel", "dus", "zan")]
HAN = [f"{a}{b}" for a in "春夏秋冬东西南北金木水火土" for b in "山川江河湖海岭谷原城村镇桥"]


def draw_passages(seed: int, lang: str = "en") -> list[Passage]:
    """Passages of two facts each, among common words; a fact is four names that stand together in two passages."""
    rng, names = random.Random(seed), list(HAN if lang == "zh" else LATIN)
    common, gap, stop = (["于是", "后来"], "，", "。") if lang == "zh" else (["river", "bridge", "stone"], " ", ". ")
    rng.shuffle(names)
    facts = [names[at : at + 4] for at in range(0, len(names) - 3, 4)]
    told = [*facts, *rng.sample(facts, len(facts))]
    passages = []
    for number in range(len(told) // 2):
        sentences = [[*fact, *rng.choices(common, k=3)] for fact in told[2 * number : 2 * number + 2]]
        text = "".join(gap.join(rng.sample(words, len(words))) + stop for words in sentences).strip()
        passages.append(make_passage(number, text, number // 2, lang))
    return passages


def index_passages(folder: Path, passages: Sequence[Passage]) -> Bm25Engine:
    """An index over passages of one language."""
    folder.mkdir(parents=True, exist_ok=True)
    build_index(write_shards(folder, passages), folder / "index", SearchConfig(), passages[0].lang)
    return Bm25Engine(folder / "index")


def draw_tasks(passages: Sequence[Passage], index: Bm25Engine, masks: int = 4) -> list[MaskTask]:
    """A task of every passage that has names with evidence, of up to so many of them; half of each fact stays."""
    finder, tasks = EvidenceFinder(index, CLUES), []
    names = HAN if passages[0].lang == "zh" else LATIN
    for passage in passages:
        places = {name: passage.text.find(name) for name in names if passage.text.count(name) == 1}
        spans = [make_span(name, at) for name, at in sorted(places.items(), key=lambda place: place[1]) if at >= 0]
        found = finder.find(passage, [(span.start, span.forms) for span in spans])
        known = [span.model_copy(update={"evidence": e}) for span, e in zip(spans, found, strict=True) if e]
        if known:
            tasks.append(build_task(passage, known[::2][:masks], AnswerStyle.SPANS))
    return tasks


def open_search(index: Bm25Engine) -> SourceHidingSearch:
    """The engine of a run over an index."""
    return SourceHidingSearch(BatchedSearch(index), hides=True, copies=True)


class WithoutPassages:
    """An engine that withholds some passages."""

    def __init__(self, engine: SourceHidingSearch, withheld: Set[str]) -> None:
        self._engine = engine
        self._withheld = withheld
        self.fingerprint = engine.fingerprint
        self.read = engine.read
        self.close = engine.close

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        calls = await self._engine.search(requests, k + len(self._withheld))
        kept = [[hit for hit in call.hits if hit.passage_id not in self._withheld][:k] for call in calls]
        return [make_call(call.query, tuple(hits)) for call, hits in zip(calls, kept, strict=True)]
