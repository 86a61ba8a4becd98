"""Soft overlong penalty of DAPO (arXiv 2503.14476, equation 13), counted on the model's own tokens.

TRL and verl count every token of the completion, retrieved documents included, and so punish a model for the output of
the search engine.
"""

from __future__ import annotations


def penalise_length(own_tokens: int, most: int, buffer: int) -> float:
    """Return 0 up to `most - buffer` own tokens, falling evenly to -1 at `most`, -1 beyond.

    Raises ValueError unless 0 < buffer <= most.
    """
    if not 0 < buffer <= most:
        raise ValueError(f"the buffer is from 1 to {most} tokens, not {buffer}")
    return -min(max(own_tokens - (most - buffer), 0) / buffer, 1.0)
