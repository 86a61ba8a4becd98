"""What models cost: the table of the configuration, then the one that comes with rampforge."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml

from schemas.llm_config import ModelPrice

PACKAGED = Path(__file__).with_name("prices.yaml")
TOKENS = 1_000_000


class PriceTable:
    """Prices by model name or pattern; the first that fits counts, the user's own first."""

    def __init__(self, own: Mapping[str, ModelPrice]) -> None:
        self._rows = (*own.items(), *_read_packaged())

    def find(self, model: str) -> ModelPrice | None:
        """The price of a model, or None for one that stands in no table: a server of one's own costs nothing here."""
        return next((price for pattern, price in self._rows if fnmatchcase(model, pattern)), None)

    def cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of a call."""
        price = self.find(model)
        if price is None:
            return 0.0
        return (price.prompt * prompt_tokens + price.completion * completion_tokens) / TOKENS


@cache
def _read_packaged() -> tuple[tuple[str, ModelPrice], ...]:
    rows = yaml.safe_load(PACKAGED.read_text(encoding="utf-8"))
    return tuple((pattern, ModelPrice.model_validate(row)) for pattern, row in rows.items())
