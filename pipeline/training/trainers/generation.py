"""Generation with the model in training, by transformers: ids in, ids out, stopped at closing tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig
from trl.models.utils import (  # type: ignore[import-not-found]  # lives in the trainers' environment
    unwrap_model_for_generation,
)

from pipeline.rollouts.search_rollout import Generate, cut_padding
from schemas.training import Rollouts


def open_generation(trainer: Any, tokenizer: Any, stops: Sequence[str], settings: Rollouts) -> Generate:
    """Sampler of the trainer's model."""
    eos, pad = int(tokenizer.eos_token_id), int(tokenizer.pad_token_id)

    def decode(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def generate(contexts: list[list[int]], most: int) -> list[list[int]]:
        longest = max(map(len, contexts))
        device = trainer.accelerator.device
        ids = torch.tensor([[pad] * (longest - len(row)) + row for row in contexts], device=device)
        seen = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in contexts], device=device)
        config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
            do_sample=True,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=0,
            max_new_tokens=most,
            stop_strings=list(stops),
            eos_token_id=eos,
            pad_token_id=eos,
        )
        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model, torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=seen, generation_config=config, tokenizer=tokenizer)
        return [cut_padding(row, eos, decode, stops) for row in out[:, longest:].tolist()]

    return generate
