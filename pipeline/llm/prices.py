"""Prices of models: the table of the configuration, then the built-in one.

A run records the prices it starts with in its configuration, so that a later table does not change its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml

from schemas.llm_config import ModelPrice

PACKAGED = Path(__file__).with_name("prices.yaml")
TOKENS = 1_000_000


class PriceTable:
    """Prices by model name or pattern; the first match counts, in the user's own table first."""

    def __init__(self, own: Mapping[str, ModelPrice]) -> None:
        self._rows = (*own.items(), *_read_packaged())

    def find(self, model: str) -> ModelPrice | None:
        """The price of a model; None for one in no table, such as that of a private server."""
        return next((price for pattern, price in self._rows if fnmatchcase(model, pattern)), None)

    def list_unpriced(self, models: Iterable[str]) -> tuple[str, ...]:
        """The models that are in no table, sorted."""
        return tuple(sorted({model for model in models if self.find(model) is None}))

    def cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of a call."""
        price = self.find(model)
        if price is None:
            return 0.0
        return (price.prompt * prompt_tokens + price.completion * completion_tokens) / TOKENS


def pin_prices(own: Mapping[str, ModelPrice], models: Iterable[str]) -> dict[str, ModelPrice]:
    """The known prices of these models by name, before the user's own table."""
    table = PriceTable(own)
    prices = {model: table.find(model) for model in sorted(set(models))}
    return {model: price for model, price in prices.items() if price is not None} | dict(own)


@cache
def _read_packaged() -> tuple[tuple[str, ModelPrice], ...]:
    rows = yaml.safe_load(PACKAGED.read_text(encoding="utf-8"))
    return tuple((pattern, ModelPrice.model_validate(row)) for pattern, row in rows.items())
