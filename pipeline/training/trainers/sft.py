"""Fine-tuning program, by TRL's SFTTrainer: `accelerate launch -m pipeline.training.trainers.sft FOLDER`.

The folder has the request and the rows; `schemas.training` and `pipeline.training.folders` define both.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found]  # lives in the trainers' environment

from pipeline.training.folders import TrainingFolder
from pipeline.training.trainers.loading import (
    common_arguments,
    load_model,
    load_tokenizer,
    make_adapter,
    read_request,
)
from pipeline.training.trainers.progress import TrainingProgress, train_and_save
from schemas.training import SftRequest

FLASH = "flash_attention_2"


def main(root: Path) -> None:
    """Train to the end, from the newest complete checkpoint if there is one."""
    folder = TrainingFolder(root)
    request = SftRequest.model_validate(read_request(folder))
    rows = Dataset.from_parquet(str(folder.rows), cache_dir=str(root / "data" / "cache"))
    tokenizer = load_tokenizer(request.base)
    progress = TrainingProgress(folder)
    trainer = SFTTrainer(
        model=load_model(request, **_choose_attention(request)),
        args=SFTConfig(**common_arguments(request, folder), **_sft_arguments(request)),
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=make_adapter(request.weights),
        callbacks=[progress],
    )
    train_and_save(trainer, tokenizer, request, folder, progress)


def _sft_arguments(request: SftRequest) -> dict[str, Any]:
    return {
        "max_length": request.max_length,  # no row is longer: nothing is cut
        "packing": request.packing,
        # Packing puts rows where they fit, so their order is lost there.
        "train_sampling_strategy": "sequential" if request.curriculum else "random",
    }


def _choose_attention(request: SftRequest) -> dict[str, str]:
    """Return the attention for packed rows, which would see each other without it."""
    if not request.packing:
        return {}
    from transformers.utils.import_utils import is_flash_attn_2_available

    if not (torch.cuda.is_available() and is_flash_attn_2_available()):
        sys.exit("packing needs flash attention on a GPU, or rows would see each other: leave --packing out")
    return {"attn_implementation": FLASH}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
