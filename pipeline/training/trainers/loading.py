"""Start and end of every trainer program: request, device, model and tokenizer; final model and measurements."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from pipeline.training.folders import TrainingFolder
from schemas.training import TrainingRequest, Tuning, Weights

PACKAGES = ("trl", "transformers", "accelerate", "datasets", "peft", "torch")


def read_request(folder: TrainingFolder) -> dict[str, Any]:
    """Return the stored request."""
    request: dict[str, Any] = json.loads(folder.request.read_text("utf-8"))["request"]
    return request


def use_bf16(weights: Weights) -> bool:
    """Return whether to train in bfloat16."""
    if weights.bf16 is not None:
        return weights.bf16
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def name_device() -> str:
    """Return the name of this process's device."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"


def load_tokenizer(base: str) -> Any:
    """Return the tokenizer, with a token for padding."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(request: TrainingRequest, **options: Any) -> Any:
    """Return the model, in float32 when all of it is trained (arithmetic is in bfloat16), else as saved."""
    dtype = torch.float32 if request.weights.tuning is Tuning.FULL or not torch.cuda.is_available() else "auto"
    return AutoModelForCausalLM.from_pretrained(request.base, dtype=dtype, **options)


def make_adapter(weights: Weights) -> Any:
    """Return the configuration of the adapter; None when all weights are trained."""
    if weights.tuning is Tuning.FULL:
        return None
    from peft import LoraConfig  # type: ignore[import-not-found]  # lives in the trainers' environment

    return LoraConfig(
        r=weights.lora_rank,
        lora_alpha=2 * weights.lora_rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def common_arguments(request: TrainingRequest, folder: TrainingFolder) -> dict[str, Any]:
    """Return the arguments that all trainers share."""
    weights = request.weights
    return {
        "output_dir": str(folder.checkpoints),
        "per_device_train_batch_size": request.batch,
        "gradient_accumulation_steps": request.accumulate,
        "max_steps": request.steps or -1,
        "num_train_epochs": request.epochs,
        "learning_rate": weights.learning_rate,
        "lr_scheduler_type": weights.schedule,
        "warmup_steps": weights.warmup,  # below 1 it is a share
        "weight_decay": weights.weight_decay,
        "max_grad_norm": weights.max_grad_norm,
        "bf16": use_bf16(weights),
        "gradient_checkpointing": weights.checkpointing,
        "use_cpu": not torch.cuda.is_available(),
        "seed": request.seed,
        "data_seed": request.seed,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": request.save_every,
        "save_total_limit": request.keep,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
    }


def save_model(trainer: Any, tokenizer: Any, request: TrainingRequest, folder: TrainingFolder) -> None:
    """Write the final model, an adapter merged in, atomically. Every process calls this."""
    building = folder.root / ".model"
    state = trainer.accelerator.state
    if getattr(state, "fsdp_plugin", None) is not None:
        state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    main = trainer.accelerator.is_main_process
    if main and building.exists():
        shutil.rmtree(building)
    if request.weights.tuning is Tuning.LORA:
        if main:
            merged = trainer.accelerator.unwrap_model(trainer.model).merge_and_unload()
            merged.save_pretrained(building)
    else:
        trainer.save_model(str(building))
    if main:
        tokenizer.save_pretrained(building)
        cast_weights(building, request.base)
        if folder.model.exists():
            shutil.rmtree(folder.model)
        (building / "training_args.bin").unlink(missing_ok=True)  # a pickle, of no use for serving
        building.rename(folder.model)
    trainer.accelerator.wait_for_everyone()


def cast_weights(folder: Path, base: str) -> None:
    """Convert the weights to the type of the base model: float32 would double the size to serve."""
    dtype = AutoConfig.from_pretrained(base).dtype
    if dtype not in (torch.bfloat16, torch.float16):
        return
    for file in folder.glob("*.safetensors"):
        weights = {name: tensor.to(dtype) for name, tensor in load_file(file).items()}
        save_file(weights, file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["dtype"] = str(dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def list_versions() -> dict[str, str]:
    """Return the versions of the packages that affect training."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def write_attempt(folder: TrainingFolder, attempt: dict[str, Any]) -> None:
    """Write the measurements of this attempt."""
    temporary = Path(f"{folder.attempt}.tmp")
    temporary.write_text(json.dumps(attempt, indent=1) + "\n", "utf-8")
    temporary.replace(folder.attempt)
