"""Rows of prompts with their gold, as verl (0.9.1), Search-R1 and those who took over its columns read them.

The scorers of Search-R1 know flat lists of right answers: `target` holds the answer in every combination of the forms
of its masks, as our formats write it, with order-free masks in every order. `extra_info.golds` has the forms of each
mask, which our rewards prefer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, permutations, product
from typing import Any

import pyarrow as pa

from pipeline.exporting.columns import FACTS, MESSAGE, TEXT, list_facts, write_golds, write_messages, write_spans
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import RowPlace
from pipeline.judging.order_free import group_masks
from pipeline.rendering.observations import write_answers

MOST_TARGETS = 64
"""Most combinations in `target`; those of earlier forms come first."""
EXTRA = pa.struct(
    [
        ("split", TEXT),
        ("index", pa.int64()),
        ("question", TEXT),
        ("need_tools_kwargs", pa.bool_()),
        ("golds", TEXT),
        *FACTS,
    ]
)
TRUTH = pa.struct([("style", TEXT), ("ground_truth", pa.struct([("target", pa.list_(TEXT))]))])


def list_prompt_columns(extra: pa.DataType) -> list[Any]:
    """Return the columns that verl's dataset reads."""
    return [
        ("data_source", TEXT),
        ("prompt", pa.list_(MESSAGE)),
        ("ability", TEXT),
        ("reward_model", TRUTH),
        ("extra_info", extra),
    ]


def write_prompt_row(
    data_source: str, prompt: list[dict[str, Any]], golds: Sequence[Sequence[str]], extra: dict[str, Any]
) -> dict[str, Any]:
    """Return the values of these columns. A scorer is selected by `data_source`."""
    return {
        "data_source": data_source,
        "prompt": prompt,
        "ability": "fact-reasoning",
        "reward_model": {"style": "rule", "ground_truth": {"target": list_targets(golds, extra["question"])}},
        "extra_info": extra,
    }


SHARED: tuple[Any, ...] = (
    ("id", TEXT),
    ("question", TEXT),
    ("golden_answers", pa.list_(TEXT)),
    *list_prompt_columns(EXTRA),
    ("spans", TEXT),
)
"""Columns that exports of prompts share."""


def write_shared(sample: Sample, place: RowPlace, data_source: str) -> dict[str, Any]:
    """Return the values of these columns."""
    example = sample.example
    row = write_prompt_row(data_source, write_messages(sample), example.golds, _write_extra(sample, place))
    return {
        "id": example.task_id,
        "question": example.question.text,
        "golden_answers": row["reward_model"]["ground_truth"]["target"],
        **row,
        "spans": write_spans(sample),
    }


def list_targets(golds: Sequence[Sequence[str]], question: str = "") -> list[str]:
    """Return the right answers to a question, at most `MOST_TARGETS`, without duplicates: the first has the first form
    of each mask, and later ones have forms further down the lists, each in every order that counts as right.
    """
    orders = list(islice(_list_orders(question, len(golds)), MOST_TARGETS))
    chosen = (
        [forms[n] for forms, n in zip(golds, row, strict=True)] for row in _combine([len(forms) for forms in golds])
    )
    answers = (write_answers([forms[mask] for mask in order]) for forms in chosen for order in orders)
    return list(dict.fromkeys(islice(answers, MOST_TARGETS)))


def _list_orders(question: str, masks: int) -> Iterator[tuple[int, ...]]:
    """Yield the orders of masks that count as right, the given one first; of one group at most `MOST_TARGETS`."""
    groups = {group.start: group for group in group_masks(question, masks)}
    inside = {mask for group in groups.values() for mask in group}
    pieces = [groups.get(mask, (mask,)) for mask in range(masks) if mask in groups or mask not in inside]
    for order in product(*(islice(permutations(piece), MOST_TARGETS) for piece in pieces)):
        yield tuple(mask for piece in order for mask in piece)


def _combine(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield all indices into lists of these sizes, those with a smaller sum first; each takes linear time."""
    for total in range(sum(sizes) - len(sizes) + 1):
        yield from _split(total, sizes)


def _split(total: int, sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the ways to write a number as a sum of indices."""
    if not sizes:
        yield ()
        return
    first, *rest = sizes
    room = sum(rest) - len(rest)
    for number in range(max(0, total - room), min(total, first - 1) + 1):
        for others in _split(total - number, rest):
            yield (number, *others)


def _write_extra(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Return everything else about the row; no value is an empty struct, which Parquet does not support."""
    return {
        "split": str(place.split),
        "index": place.number,
        "question": sample.example.question.text,
        "need_tools_kwargs": False,
        "golds": write_golds(sample),
        **list_facts(sample),
    }
