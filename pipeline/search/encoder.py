"""Text encoders: texts into vectors, by a model of transformers.

Guarantees: vectors have length 1, so that a dot product is a cosine; the vector of a text does not depend on the rest
of its batch, but for the last digits (below 1e-5); texts of similar length are encoded together, to pad little; the
files of sentence-transformers, of any version, beside a model apply unless the configuration overrides them, and a
model that needs unsupported layers is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from pipeline.devices import choose_device
from pipeline.errors import AssetError
from schemas.search_config import DenseConfig

FIX = "set search.dense.encoder to an asset (`rampforge assets list`), a folder or a hub name"
KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}
POOLINGS = {
    "mean": "mean", "cls": "cls", "lasttoken": "last",
    "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last",
}  # fmt: skip
"""Poolings by the names of sentence-transformers, from version 6 on and before."""
OFFSET_MODELS = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet"}
UNBOUNDED = 1 << 20
"""Tokenizers without a limit report one above this."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prefixes of queries and of passages."""

    query: str = ""
    passage: str = ""


class TextEncoder(Protocol):
    """An encoder of texts into vectors of length 1."""

    @property
    def identity(self) -> str:
        """Everything that decides the vectors: the model, its revision, its pooling and its limit on tokens."""

    @property
    def dimension(self) -> int:
        """Length of a vector, in numbers."""

    @property
    def prompts(self) -> Prompts:
        """Prefixes that the model was trained with."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One row per text, float32. Raises SearchError when the encoder fails."""

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """The same for queries: where possible, bit for bit independent of the rest of the batch."""


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """The settings that sentence-transformers wrote beside a model."""

    poolings: tuple[str, ...]
    """Names of the poolings; the vectors of several are concatenated."""
    max_tokens: int | None
    """Length at which text is truncated."""
    prompts: Prompts
    pools_prompts: bool
    """Whether the tokens of a prompt count in the mean."""


def count_positions(config: Any) -> int | None:
    """Longest input of a model in tokens; None without a limit. Models like RoBERTa do not use the first positions."""
    positions: int | None = getattr(config, "max_position_embeddings", None)
    unused = 2 if config.model_type in OFFSET_MODELS else 0
    return positions - unused if positions else None


def choose_prompts(config: DenseConfig, encoder: TextEncoder | EncoderFiles) -> Prompts:
    """The configured prefixes; where none is configured, the encoder's own."""
    query, passage, own = config.query_prefix, config.passage_prefix, encoder.prompts
    return Prompts(own.query if query is None else query, own.passage if passage is None else passage)


def load_encoder(path: str, config: DenseConfig, name: str | None = None) -> TransformersEncoder:
    """Load an encoder from a folder or by its name on the hub. `name`: its identity in the index, revision included.

    Raises AssetError when it cannot be loaded, or needs unsupported layers.
    """
    from transformers import AutoModel, AutoTokenizer

    files = read_encoder_files(path)
    pooling = _choose_pooling(path, files, config)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model: Any = AutoModel.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa")
    except (OSError, ValueError, KeyError) as error:
        what = str(error).strip().split("\n", 1)[0]
        raise AssetError(f"cannot load the encoder {path}: {what}", FIX) from error
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    limits = (config.max_tokens, files.max_tokens, tokenizer.model_max_length, count_positions(model.config))
    cut = min(limit for limit in limits if limit and limit < UNBOUNDED)
    identity = f"{name or path} pooling={pooling} tokens={cut}"
    model = model.to(choose_device(config.device))
    return TransformersEncoder(model, tokenizer, identity, pooling, cut, config.batch, files.prompts)


def _choose_pooling(path: str, files: EncoderFiles, config: DenseConfig) -> str:
    """The pooling: the configured one, else that of the files. Raises AssetError for an unsupported one."""
    named = [config.pooling] if config.pooling != "auto" else [POOLINGS.get(name, "") for name in files.poolings]
    if len(named) != 1 or named[0] not in POOLERS:
        what = f"the encoder {path} pools by {', '.join(files.poolings) or 'nothing'}, which is not supported"
        raise AssetError(what, "set search.dense.pooling, or name another encoder in search.dense.encoder")
    if not files.pools_prompts and named[0] == "mean" and choose_prompts(config, files) != Prompts():
        what = f"the encoder {path} leaves its prompts out of the mean, which is not supported"
        raise AssetError(what, "set search.dense.query_prefix and passage_prefix to '', or name another encoder")
    return named[0]


class TransformersEncoder:
    """A TextEncoder on this machine."""

    def __init__(
        self, model: Any, tokenizer: Any, identity: str, pooling: str, max_tokens: int, batch: int, prompts: Prompts
    ) -> None:
        """`max_tokens`: length at which texts are truncated; `batch`: texts encoded together; `prompts`: prefixes for
        the caller to add to the texts."""
        self.identity = identity
        self.prompts = prompts
        self.dimension = int(model.config.hidden_size)
        self.model = model.train(False)
        self._tokenizer = tokenizer
        self._pool = POOLERS[pooling]
        self._max_tokens = max_tokens
        self._batch = batch

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One row per text, float32, of length 1."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        if not texts:
            return vectors
        ids = self._tokenizer(list(texts), truncation=True, max_length=self._max_tokens)
        order = sorted(range(len(texts)), key=lambda index: (-len(ids["input_ids"][index]), index))
        for start in range(0, len(order), self._batch):
            group = order[start : start + self._batch]
            vectors[group] = self._encode_group({key: [column[i] for i in group] for key, column in ids.items()})
        return vectors

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """The same for queries. On a CPU they are encoded one by one, which costs little and makes a vector the same in
        every run; on an accelerator they are encoded together, and the last digits may vary."""
        if self.model.device.type != "cpu":
            return self.encode(texts)
        return np.concatenate([self.encode([]), *(self.encode([text]) for text in texts)])

    @torch.inference_mode()
    def _encode_group(self, columns: dict[str, Any]) -> np.ndarray:
        padded = self._tokenizer.pad(columns, return_tensors="pt").to(self.model.device)
        hidden = self.model(**padded).last_hidden_state
        pooled = self._pool(hidden, padded["attention_mask"])
        vectors: np.ndarray = torch.nn.functional.normalize(pooled.float(), dim=1).cpu().numpy()
        return vectors


def _pool_mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def _pool_first(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden[torch.arange(len(hidden)), mask.argmax(1)]


def _pool_last(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    places = torch.arange(mask.shape[1], device=mask.device)
    return hidden[torch.arange(len(hidden)), (mask * places).argmax(1)]


POOLERS = {"mean": _pool_mean, "cls": _pool_first, "last": _pool_last}


def read_encoder_files(path: str) -> EncoderFiles:
    """The settings in modules.json and the files that it names. Raises AssetError for an unknown module."""
    poolings: tuple[str, ...] = ("mean",)
    limit, pools_prompts = None, True
    for module in _read_json(path, "modules.json") or []:
        kind = str(module["type"]).rsplit(".", 1)[-1]
        if kind not in KNOWN_MODULES:
            raise AssetError(f"the encoder {path} has a layer of kind {kind}, which is not supported", FIX)
        if kind == "Transformer":
            limit = (_read_json(path, "sentence_bert_config.json") or {}).get("max_seq_length")
        if kind == "Pooling":
            pooling = _read_json(path, f"{module['path']}/config.json") or {}
            poolings, pools_prompts = _read_poolings(pooling), pooling.get("include_prompt") is not False
    prompts = (_read_json(path, "config_sentence_transformers.json") or {}).get("prompts") or {}
    own = Prompts(prompts.get("query") or "", prompts.get("document") or "")
    return EncoderFiles(poolings, limit, own, pools_prompts)


def _read_poolings(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The poolings in a file: from version 6 on one name or a list, before a switch for each."""
    named = fields.get("pooling_mode")
    if isinstance(named, str):
        return (named,)
    if named is not None:
        return tuple(map(str, named))
    return tuple(key for key, value in fields.items() if key.startswith("pooling_mode_") and value is True)


def _read_json(path: str, name: str) -> Any:
    """A JSON file beside the model; None when there is none."""
    from transformers.utils.hub import cached_file

    if Path(path).is_dir():
        file: Path | None = Path(path) / name
    else:
        try:
            found = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
        except OSError as error:
            raise AssetError(f"cannot load the encoder {path}: {str(error).splitlines()[0]}", FIX) from error
        file = Path(found) if found else None
    if file is None or not file.is_file():
        return None
    return json.loads(file.read_text("utf-8"))
