"""Turn a GGUF file into a folder that transformers loads: weights, config and tokenizer.

Promises: the weights are the quantized ones, dequantized and written in bfloat16 (the type the model was published
in); the tokenizer with its chat template and special tokens comes from the same file.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the model of a GGUF file into `folder` in Hugging Face format. Takes a few seconds a 100 MB."""
    # Loaded only here: torch and transformers take seconds to import, and most fetches need neither.
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Without dequantize=True the weights stay packed and cannot be saved.
    packed = GgufConfig(dequantize=True, gguf_file=file.name)
    with contextlib.redirect_stderr(io.StringIO()):  # three progress bars, and no setting that stops them all
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, quantization_config=packed)
        model.bfloat16().save_pretrained(folder)
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
