"""Tokenizer of a trained model, which makes its prompts."""

from __future__ import annotations

from typing import Any

from pipeline.errors import ConfigError
from pipeline.rendering.chat_text import ChatText


def open_tokenizer(where: str) -> Any:
    """Return the tokenizer of a model folder, or of a name on the hub.

    Raises ConfigError when there is none, or it has no end-of-sequence token; ChatTemplateError without a template.
    """
    from transformers import AutoTokenizer

    fix = "name a folder that holds a whole model: weights, config.json, tokenizer.json and tokenizer_config.json"
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(where)
    except Exception as error:  # transformers raises whatever its readers do
        what = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{where}: no tokenizer can be read: {what}", fix) from error
    if not getattr(tokenizer, "is_fast", False) or not len(tokenizer):
        raise ConfigError(f"{where}: there is no tokenizer.json", fix)
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"{where}: the tokenizer has no end-of-sequence token", "set eos_token and save it")
    ChatText(tokenizer)
    return tokenizer
