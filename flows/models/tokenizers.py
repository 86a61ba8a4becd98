"""Tokenizers of models: assets, folders, or names on the hub."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from flows.configuration.cache import cache_folder
from flows.models.hub import find_silence
from pipeline.assets.store import resolve_model
from pipeline.errors import AssetError
from pipeline.rendering.token_masks import OWN_WORDS, TokenMasker
from schemas.renderings import SegmentKind


def read_tokenizer(model: str, cache: Path, fix: str = "give an asset, a folder or a hub name") -> Any:
    """The tokenizer of a model, without its weights; of a hub that does not answer, the one in its cache here.

    `cache`: folder of the assets. Raises AssetError.
    """
    from transformers import AutoTokenizer

    where = resolve_model(model, cache)
    silence = find_silence() if isinstance(where, str) else ""
    try:
        return AutoTokenizer.from_pretrained(where, local_files_only=bool(silence))
    except (OSError, ValueError) as error:
        what = str(error).strip().split("\n", 1)[0]
        if silence:
            what = f"it is not an asset, not a folder and not cached, and {silence}"
        raise AssetError(f"cannot load the tokenizer of {model}: {what}", fix) from error


def open_masker(model: str, train_observations: bool = False, day: date | None = None) -> TokenMasker:
    """Tokens and masks with a model's own tokenizer. `day`: date that its chat template writes, today by default.

    Raises AssetError; ChatTemplateError without a chat template.
    """
    extra = {SegmentKind.OBSERVATION} if train_observations else set()
    return TokenMasker(read_tokenizer(model, cache_folder()), OWN_WORDS | extra, day)
