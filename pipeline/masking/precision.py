"""Precision of a local scorer: bfloat16 where the processor has instructions for it, since it is slower elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from schemas.masking_config import Precision

CPU_FACTS = Path("/proc/cpuinfo")
"""What Linux says of the processors; other systems count as without."""
INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16"})
"""Flags of processors that multiply matrices in bfloat16."""


def resolve_precision(precision: Precision, device: str = "cpu") -> Precision:
    """Return the precision in which a model on a kind of device (cpu, cuda, ...) computes."""
    if precision is not Precision.AUTO:
        return precision
    return Precision.BFLOAT16 if device == "cpu" and has_bfloat16(CPU_FACTS) else Precision.FLOAT32


@cache
def has_bfloat16(facts: Path) -> bool:
    """Return whether every processor that a file lists has instructions for bfloat16."""
    try:
        lines = facts.read_text().splitlines()
    except OSError:
        return False
    flags = [set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")]
    return bool(flags) and all(INSTRUCTIONS & known for known in flags)
