"""From judged trajectories to simulation-tuning data: which documents a query brought, and whether they were of use.

Useful: the trajectory was accepted and a document holds a gold answer. Noisy: no document holds one. Documents that
hold one in a trajectory that was not accepted are neither, and are left out: they would teach the noisy simulator to
hand over the gold. Left out too are the task's own passage, which would teach it to repeat the question, and documents
that a simulator wrote.

Promises: pure functions; every search of every trajectory gives one example or one reject; which examples are kept does
not depend on the order they come in; no page gives examples to both splits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.judging.scoring import read_gold
from pipeline.search.engine import FoundPassage
from pipeline.search.simulated.prompts import SimulationFacts, list_simulation_prompts, write_prompt
from pipeline.text.normalisation import fold_text, holds_tokens
from prompts.document_scan import Draft, make_draft, write_documents
from schemas.exports import Split
from schemas.funnel import FunnelStep, Reject
from schemas.record import content_id
from schemas.search_config import SimulationMode
from schemas.simulation import SimulationExample, SimulationMessage
from schemas.tasks import MaskTask
from schemas.trajectories import SearchCall, SearchStatus, Trajectory, Usefulness

STAGE = "simulation"
MOST_DOCUMENTS = 20
FAILED, EMPTY, SIMULATED, NO_TEXT = "failed_search", "no_results", "simulated", "no_text"
UNCLEAR, DUPLICATE, SURPLUS = "unclear", "duplicate", "over_share"

FindPassage = Callable[[str], FoundPassage | None]
"""The passage of an id; None where its text is not at hand."""


@dataclass(frozen=True, slots=True)
class SimulatorExportSettings:
    """What is decided about an export."""

    informed: bool = True
    """Put the masked text and the gold answers into the prompts, as `search.simulated.informed` does."""
    validation: float = 0.05
    """Share of the pages whose examples are set apart."""
    balance: bool = True
    """Keep as many useful examples as noisy ones in each split."""


@dataclass(frozen=True, slots=True)
class JudgedSearch:
    """A judged trajectory, and where the texts of its hits are."""

    trajectory: Trajectory
    task: MaskTask
    accepted: bool
    find: FindPassage


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """Which examples are kept, and the rest by reason."""

    kept: Mapping[str, str]
    """Example id -> the search it is taken from."""
    duplicates: frozenset[str]
    """Searches whose query and documents another search has as well."""


def cut_examples(
    searched: JudgedSearch, settings: SimulatorExportSettings
) -> Iterator[tuple[str, SimulationExample | Reject]]:
    """For each search of a trajectory its name, and its example or why it gives none."""
    trajectory, task = searched.trajectory, searched.task
    golds = [gold.folded for span in task.spans for gold in read_gold(span)]
    for number, turn in enumerate(trajectory.turns):
        shown = {p.passage_id: FoundPassage(p.passage_id, p.title, p.text) for p in turn.shown}
        for place, call in enumerate(turn.calls):
            name = f"{trajectory.trajectory_id}/{number}/{place}"
            documents = dict(_take_documents(call, shown, searched))
            reason = _find_fault(call, documents)
            useful = any(_holds(draft, golds) for draft in documents.values())
            if reason is None and useful and not searched.accepted:
                reason = UNCLEAR
            if reason is not None:
                yield name, make_reject(name, reason, call.query)
            else:
                label = Usefulness.USEFUL if useful else Usefulness.NOISY
                yield name, _make_example(searched, call.query, documents, label, settings)


def choose_examples(found: Iterable[tuple[str, SimulationExample]], settings: SimulatorExportSettings) -> SearchChoice:
    """Of equal query and documents one, a useful one before a noisy one; then as many of one label as of the other.

    What is over is left out by the order of the ids, which are hashes.
    """
    best: dict[str, tuple[bool, str, str, Split, Usefulness]] = {}
    names: dict[str, list[str]] = {}
    for name, example in found:
        task = example.task_id if settings.informed else ""
        same = content_id(task, example.query.casefold(), example.passage_ids)
        noisy = example.usefulness is Usefulness.NOISY
        entry = (noisy, example.example_id, name, example.split, example.usefulness)
        best[same] = min(best.get(same, entry), entry)
        names.setdefault(same, []).append(name)
    # Tasks of the same text make the same example: of these the first by name.
    ranked = sorted(best.values(), reverse=True)
    chosen = {example_id: (name, split, label) for _, example_id, name, split, label in ranked}
    taken = {name for name, *_ in chosen.values()}
    duplicates = frozenset(name for some in names.values() for name in some if name not in taken)
    sizes = Counter((split, label) for _, split, label in chosen.values())
    left = {split: min(sizes[split, label] for label in Usefulness) for split in Split}
    room = {(split, label): left[split] if settings.balance else size for (split, label), size in sizes.items()}
    kept: dict[str, str] = {}
    for example_id, (name, split, label) in sorted(chosen.items()):
        if room[split, label]:
            room[split, label] -= 1
            kept[example_id] = name
    return SearchChoice(kept, duplicates)


def settle_search(name: str, found: SimulationExample | Reject, choice: SearchChoice) -> SimulationExample | Reject:
    """The row of a search, now that it is known which examples are kept."""
    if isinstance(found, Reject) or choice.kept.get(found.example_id) == name:
        return found
    return make_reject(name, DUPLICATE if name in choice.duplicates else SURPLUS, found.query)


def sum_searches(passed: int, reasons: Mapping[str, int]) -> FunnelStep:
    """The sums over all searches."""
    entered = passed + sum(reasons.values())
    return FunnelStep(stage=STAGE, unit="query", entered=entered, passed=passed, rejected=dict(reasons))


def make_reject(name: str, reason: str, query: str) -> Reject:
    """The row of a search that gives no example."""
    return Reject(stage=STAGE, unit="query", input_id=name, reason=reason, detail=query[:200])


def choose_split(document_id: str, validation: float) -> Split:
    """Which split a page's examples belong to."""
    place = int(content_id("split", document_id), 16) / 16**20
    return Split.VALIDATION if place < validation else Split.TRAIN


def _take_documents(
    call: SearchCall, shown: Mapping[str, FoundPassage], searched: JudgedSearch
) -> Iterator[tuple[str, Draft]]:
    """The hits that are documents for a simulator: with a text, not the task's own passage, at most so many."""
    taken = 0
    for hit in call.hits:
        if hit.usefulness is not None or hit.passage_id == searched.task.passage_id or taken == MOST_DOCUMENTS:
            continue
        passage = shown.get(hit.passage_id) or searched.find(hit.passage_id)
        draft = make_draft(passage.title, passage.text) if passage else None
        if draft is not None:
            taken += 1
            yield hit.passage_id, draft


def _find_fault(call: SearchCall, documents: Mapping[str, Draft]) -> str | None:
    if call.status not in (SearchStatus.OK, SearchStatus.EMPTY):
        return FAILED
    if not call.hits:
        return EMPTY
    if documents:
        return None
    return SIMULATED if all(hit.usefulness is not None for hit in call.hits) else NO_TEXT


def _holds(draft: Draft, golds: Iterable[str]) -> bool:
    texts = (fold_text(draft.title), fold_text(draft.text))
    return any(holds_tokens(text, gold) for text in texts for gold in golds)


def _make_example(
    searched: JudgedSearch,
    query: str,
    documents: Mapping[str, Draft],
    usefulness: Usefulness,
    settings: SimulatorExportSettings,
) -> SimulationExample:
    task, trajectory = searched.task, searched.trajectory
    facts = SimulationFacts(task.masked_text, tuple(span.text for span in task.spans)) if settings.informed else None
    asked = write_prompt(SimulationMode.TUNED, task.lang, query, len(documents), usefulness, facts)
    written = write_documents(list(documents.values()))
    return SimulationExample(
        example_id=content_id(asked, written),
        split=choose_split(task.document_id, settings.validation),
        usefulness=usefulness,
        lang=task.lang,
        prompt=(SimulationMessage(role="user", content=asked),),
        completion=(SimulationMessage(role="assistant", content=written),),
        query=query,
        passage_ids=tuple(documents),
        task_id=task.task_id,
        document_id=task.document_id,
        trajectory_id=trajectory.trajectory_id,
        engine=trajectory.engine,
        prompts=list_simulation_prompts(SimulationMode.TUNED, task.lang),
    )
