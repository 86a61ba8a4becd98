"""Opens the tokenizer of the model to be trained."""

from __future__ import annotations

from flows.configuration.cache import cache_folder
from pipeline.assets.store import resolve_model
from pipeline.errors import AssetError
from pipeline.rendering.token_masks import OWN_WORDS, TokenMasker
from schemas.renderings import SegmentKind


def open_masker(model: str, train_observations: bool = False) -> TokenMasker:
    """Tokens and masks with a model's own tokenizer: an asset, a folder, or a name on the hub.

    Raises AssetError when it cannot be loaded, ChatTemplateError when it has no chat template.
    """
    from transformers import AutoTokenizer

    place = resolve_model(model, cache_folder())
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        what = str(error).strip().split("\n", 1)[0]
        raise AssetError(
            f"cannot load the tokenizer of {model}: {what}", "give an asset, a folder or a hub name"
        ) from error
    extra = {SegmentKind.OBSERVATION} if train_observations else set()
    return TokenMasker(tokenizer, OWN_WORDS | extra)
