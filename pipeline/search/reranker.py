"""Rerankers: cross-encoders, models of transformers that read query and passage together.

Guarantees: the score of a pair does not depend on the rest of its batch, but for the last digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from pipeline.devices import choose_device
from pipeline.errors import AssetError
from pipeline.search.encoder import count_positions

FIX = "set search.hybrid.reranker to an asset, a folder or a hub name of a cross-encoder, or to null"
MAX_TOKENS = 512
BATCH = 32


class Reranker(Protocol):
    """A scorer of passages by how well they answer a query."""

    @property
    def identity(self) -> str:
        """Everything that decides the scores."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score per text; higher is better."""


def load_reranker(path: str, device: str = "auto", name: str | None = None) -> CrossEncoder:
    """Load a cross-encoder from a folder or by its name on the hub. Raises AssetError when it cannot be loaded."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model: Any = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        what = str(error).strip().split("\n", 1)[0]
        raise AssetError(f"cannot load the reranker {path}: {what}", FIX) from error
    if model.config.num_labels > 2:
        raise AssetError(f"{path} has {model.config.num_labels} classes; a reranker has one score", FIX)
    return CrossEncoder(model.to(choose_device(device)), tokenizer, name or path)


class CrossEncoder:
    """A Reranker on this machine."""

    def __init__(self, model: Any, tokenizer: Any, identity: str) -> None:
        self.identity = identity
        self._model = model.train(False)
        self._tokenizer = tokenizer
        self._max_tokens = min(MAX_TOKENS, count_positions(model.config) or MAX_TOKENS)

    @torch.inference_mode()
    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score per text: the model's logit, or with two classes the second less the first."""
        scores = np.zeros(len(texts), np.float64)
        order = sorted(range(len(texts)), key=lambda index: (len(texts[index]), index))
        for start in range(0, len(order), BATCH):
            group = order[start : start + BATCH]
            pairs = self._tokenizer(
                [query] * len(group), [texts[index] for index in group], padding=True, return_tensors="pt",
                truncation="longest_first", max_length=self._max_tokens,
            )  # fmt: skip
            logits = self._model(**pairs.to(self._model.device)).logits.float()
            scores[group] = (logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0)).cpu().numpy()
        result: list[float] = scores.tolist()
        return result
