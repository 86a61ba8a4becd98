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

from pipeline.training.folders import TrainingFolder, find_checkpoint
from pipeline.training.trainers.loading import (
    common_arguments,
    list_versions,
    load_model,
    load_tokenizer,
    make_adapter,
    name_device,
    read_request,
    save_model,
    write_attempt,
)
from pipeline.training.trainers.progress import TrainingProgress, train_from
from schemas.training import SftRequest

FLASH = "flash_attention_2"


def main(root: Path) -> None:
    """Train to the end, from the newest complete checkpoint if there is one."""
    folder = TrainingFolder(root)
    request = SftRequest.model_validate(read_request(folder))
    found = find_checkpoint(folder)
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
    train_from(trainer, found[0] if found else None)
    save_model(trainer, tokenizer, request, folder)
    if trainer.accelerator.is_main_process:
        write_attempt(
            folder,
            {
                "steps": trainer.state.global_step,
                "seconds": progress.seconds,
                "tokens": progress.tokens,
                "resumed_from": found[1] if found else None,
                "device": name_device(),
                "processes": trainer.accelerator.num_processes,
                "versions": list_versions(),
            },
        )


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
