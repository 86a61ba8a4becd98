"""Ambiguous spans: which are dropped, which are not hidden together, and that the tasks left have no rival."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

from flows.stages.masking import span_keys, task_keys
from flows.stages.passage_sample import sample_keys
from pipeline.evidence.finder import EvidenceFinder
from pipeline.masking.ambiguity import AmbiguityCheck
from pipeline.masking.filters import AMBIGUOUS
from pipeline.masking.span_stage import SpanStage
from pipeline.masking.task_stage import SpannedPassage, TaskStage
from pipeline.reachability.play import OraclePlayer
from pipeline.reachability.rivals import RivalFinder
from pipeline.search.bm25 import Bm25Engine
from schemas.config import AgentsConfig, RunConfig
from schemas.funnel import Reject
from schemas.masking_config import EvidenceScope, MaskingConfig, Selection
from schemas.passages import Passage
from schemas.tasks import MaskTask, SpanSet
from schemas.trajectories import HideMode
from tests.support.oracle_samples import index_passages, open_search
from tests.support.passage_samples import make_passage

CLUES = 2
SOURCE = "Dervin and Felmel opened Kasrok in 1723."
TOLD = [SOURCE, "In 1723 Kasrok saw Dervin with Felmel.", "Nothing is known."]
OTHERS = [f"Stone bridge {number}." for number in range(300)]


def open_passages(folder: Path, texts: list[str]) -> tuple[list[Passage], Bm25Engine]:
    passages = [make_passage(number, text, number) for number, text in enumerate([*texts, *OTHERS])]
    return passages, index_passages(folder, passages)


def make_tasks(
    passages: list[Passage], index: Bm25Engine, drop: bool, counts: tuple[int, ...] = (1, 2, 3)
) -> tuple[list[SpanSet], list[MaskTask], list[Reject]]:
    config = MaskingConfig(
        ner=None, links=False, scorer=None, selection=Selection.RANDOM, evidence=EvidenceScope.PASSAGE,
        evidence_clues=CLUES, drop_ambiguous=drop, mask_counts=counts,
    )  # fmt: skip
    check = AmbiguityCheck(index.tokenize, RivalFinder(index), config.evidence) if drop else None
    stage = SpanStage(config, evidence=EvidenceFinder(index, CLUES), ambiguity=check)
    rows = [row for outcome in stage.run(passages) for row in outcome.rows]
    sets = {row.passage_id: row for row in rows if isinstance(row, SpanSet)}
    items = [SpannedPassage(p, sets[p.passage_id]) for p in passages if p.passage_id in sets]
    outcomes = TaskStage(config, 0, tokenize=index.tokenize, ambiguity=check).run(items)
    tasks = [row for outcome in outcomes for row in outcome.rows if isinstance(row, MaskTask)]
    return list(sets.values()), tasks, [row for row in rows if isinstance(row, Reject) and row.unit == "span"]


@pytest.mark.parametrize(
    ("rival", "dropped"),
    [
        ("Kasrok, of Dervin and Felmel, fell in 1851.", True),
        ("Kasrok, of Dervin and Felmel, fell in 1851 or 1723.", False),  # the answer stands there as well
        ("Kasrok, of Dervin and Felmel, fell.", False),  # nothing of the kind
        ("Dervin and Felmel left in 1851. Kasrok fell.", False),  # a clue is missing
    ],
)
def test_a_span_is_dropped_where_a_sentence_with_its_clues_says_otherwise(
    tmp_path: Path, rival: str, dropped: bool
) -> None:
    passages, index = open_passages(tmp_path, [*TOLD, rival])
    found, _, rejects = make_tasks(passages, index, drop=True)
    kept = [span.text for row in found if row.passage_id == passages[0].passage_id for span in row.spans]
    assert kept == ([] if dropped else ["1723"])
    assert (AMBIGUOUS in {row.reason for row in rejects}) is dropped
    plain, _, rejects = make_tasks(passages, index, drop=False)
    assert [span.text for span in plain[0].spans] == ["1723"]
    assert AMBIGUOUS not in {row.reason for row in rejects}


def test_a_span_whose_hiding_leaves_another_with_a_rival_is_not_hidden_with_it(tmp_path: Path) -> None:
    texts = [
        "Dervin and Felmel opened Kasrok in 1723 with 64 boats.",
        "In 1723 Kasrok saw Dervin with Felmel and 64 boats.",
        "In 1851 Kasrok saw Dervin with Felmel.",
    ]
    passages, index = open_passages(tmp_path, texts)
    for drop in (False, True):
        found, tasks, _ = make_tasks(passages[:1], index, drop, counts=(2,) if not drop else (1, 2))
        assert {span.text for span in found[0].spans} == {"1723", "64"}
        (task,) = tasks
        assert task.mask_count == (1 if drop else 2)


def draw_texts(dice: Random) -> Iterator[str]:
    """Sentences of names and years, of which many have the same names and another year."""
    names = [f"{a}{b}rok" for a in "bdfgklmnp" for b in "aeiou"]
    for _ in range(40):
        fact = dice.sample(names, 4)
        year, other = dice.sample(range(1500, 1900), 2)
        yield f"{' and '.join(fact)} met in {year} with {dice.randrange(20, 90)} boats."
        yield f"In {year} came {', '.join(dice.sample(fact, 3))}."
        if dice.random() < 0.5:
            yield f"Later, in {other}, came {', '.join(dice.sample(fact, dice.choice((2, 3))))}."


@pytest.mark.parametrize("seed", range(3))
def test_no_task_that_is_left_has_a_rival(tmp_path: Path, seed: int) -> None:
    passages, index = open_passages(tmp_path, list(draw_texts(Random(seed))))
    player = OraclePlayer(open_search(index), index, AgentsConfig(max_turns=3), 5, HideMode.PASSAGE)
    most = {}
    for drop in (False, True):
        _, tasks, _ = make_tasks(passages, index, drop)
        most[drop] = [mask.rivals for task in tasks for mask in asyncio.run(player.play(task)).masks if mask.passage_id]
    assert set(most[True]) == {0}
    assert any(count != 0 for count in most[False])
    assert len(most[False]) >= len(most[True]) > 4


def test_the_option_needs_evidence_and_decides_rows_only_where_it_is_on() -> None:
    with pytest.raises(ValidationError):
        MaskingConfig(drop_ambiguous=True)
    masking = {"limit": 5, "evidence": "passage"}
    plain, dropping = (
        RunConfig.model_validate({"masking": masking | {"drop_ambiguous": drop}}) for drop in (False, True)
    )
    for keys in (sample_keys, span_keys, task_keys):
        assert {*keys(dropping)} - {*keys(plain)} == {"masking.drop_ambiguous"}
