"""Encoders for tests: one that needs no model, and tiny models of random weights in the files of real ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.search.encoder import Prompts

OLD_POOLINGS = (
    "pooling_mode_cls_token",
    "pooling_mode_mean_tokens",
    "pooling_mode_lasttoken",
    "pooling_mode_max_tokens",
)


@lru_cache(maxsize=4096)
def _draw_vector(word: str, dimension: int) -> np.ndarray:
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little")
    return np.random.default_rng(seed).standard_normal(dimension, np.float32)


class WordEncoder:
    """Adds up a fixed vector for each word: texts that share words are near each other."""

    def __init__(self, dimension: int = 32, fail_after: int | None = None) -> None:
        """`fail_after`: raise KeyboardInterrupt once so many texts were encoded."""
        self.identity = f"words {dimension}"
        self.dimension = dimension
        self.prompts = Prompts()
        self.encoded = 0
        self._fail_after = fail_after

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        if self._fail_after is not None and self.encoded + len(texts) > self._fail_after:
            raise KeyboardInterrupt
        self.encoded += len(texts)
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for word in ["", *text.lower().split()]:
                vectors[row] += _draw_vector(word, self.dimension)
        scaled: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return scaled

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        return self.encode(texts)


def _save_tokenizer(folder: Path) -> int:
    """Write a tokenizer of letters; the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz0123456789.,?"]
    vocab = {letter: number for number, letter in enumerate(letters)}
    padding, unknown, first, last = letters[:4]
    tokenizer = Tokenizer(models.WordLevel(vocab=vocab, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    wrap: Any = PreTrainedTokenizerFast  # its constructor carries no types
    wrap(
        tokenizer_object=tokenizer, pad_token=padding, unk_token=unknown, cls_token=first, sep_token=last
    ).save_pretrained(folder)
    return len(vocab)


def save_tiny_model(
    folder: Path, labels: int = 0, pooling: str | Sequence[str] | None = None, prompts: dict[str, str] | None = None
) -> Path:
    """Write a tiny BERT of random weights: an encoder, or with `labels` a classifier; with `pooling` as
    sentence-transformers does: before version 6 for names such as `pooling_mode_mean_tokens`, else since."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    make_config: Any = BertConfig  # it takes more than it declares
    config = make_config(
        vocab_size=_save_tokenizer(folder), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=128, initializer_range=0.4, num_labels=labels or 2,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = BertForSequenceClassification(config) if labels else BertModel(config)
    model.save_pretrained(folder)
    if pooling is not None:
        _save_modules(folder, pooling)
    if prompts is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return folder


def _save_modules(folder: Path, pooling: str | Sequence[str]) -> None:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    old = isinstance(pooling, str) and pooling in OLD_POOLINGS
    package = "sentence_transformers.models" if old else "sentence_transformers.base.modules.any"
    said = [{"path": path, "type": f"{package}.{kind}"} for path, kind in modules]
    (folder / "modules.json").write_text(json.dumps(said))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 40}))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    new = {"embedding_dimension": 32, "pooling_mode": pooling, "include_prompt": True}
    about = {mode: mode == pooling for mode in OLD_POOLINGS} if old else new
    (folder / "1_Pooling/config.json").write_text(json.dumps(about))
