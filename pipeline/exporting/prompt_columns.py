"""Rows of prompts with their gold, as verl (0.9.1) and Search-R1 read them.

For verl `target` has for each mask its right forms, as our rewards read it. Search-R1's own scorer knows one answer:
there it has the forms of the one gold, or, where several masks are asked for, the whole answer as our formats write it.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.exporting.columns import FACTS, MESSAGE, TEXT, list_facts, write_golds, write_messages, write_spans
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import RowPlace
from pipeline.rendering.observations import write_answers

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


def list_prompt_columns(target: pa.DataType, extra: pa.DataType) -> list[Any]:
    """Return the columns that verl's dataset reads."""
    truth = pa.struct([("target", target)])
    return [
        ("data_source", TEXT),
        ("prompt", pa.list_(MESSAGE)),
        ("ability", TEXT),
        ("reward_model", pa.struct([("style", TEXT), ("ground_truth", truth)])),
        ("extra_info", extra),
    ]


def write_prompt_row(
    data_source: str, prompt: list[dict[str, Any]], target: list[Any], extra: dict[str, Any]
) -> dict[str, Any]:
    """Return the values of these columns. A scorer is selected by `data_source`, and compares an
    answer with `target`.
    """
    return {
        "data_source": data_source,
        "prompt": prompt,
        "ability": "fact-reasoning",
        "reward_model": {"style": "rule", "ground_truth": {"target": target}},
        "extra_info": extra,
    }


def list_shared_columns(target: pa.DataType) -> list[Any]:
    """Return the columns that both exports have."""
    return [*list_prompt_columns(target, EXTRA), ("spans", TEXT)]


def write_shared(sample: Sample, place: RowPlace, data_source: str, target: list[Any]) -> dict[str, Any]:
    """Return the values of these columns."""
    row = write_prompt_row(data_source, write_messages(sample), target, _write_extra(sample, place))
    return {**row, "spans": write_spans(sample)}


def list_targets(sample: Sample) -> list[str]:
    """Return the texts that an answer is compared with."""
    golds = sample.example.golds
    return list(golds[0]) if len(golds) == 1 else [write_answers([texts[0] for texts in golds])]


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
