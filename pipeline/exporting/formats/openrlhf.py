"""OpenRLHF 0.11: whole conversations for SFTDataset with `multiturn`, which puts loss on every turn of the assistant.

It hands no tools to the chat template, so they must stand in the messages.
"""

from __future__ import annotations

from pipeline.exporting.command_arguments import ARGUMENTS, read_by, write_lines
from pipeline.exporting.rows import write_chat
from pipeline.exporting.spec import Exporter, Table, Written
from pipeline.rendering.chat_template import MessageForm
from schemas.exports import Purpose, Split, Trainer
from schemas.renderings import RenderingName


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Demonstrations."""
    return (Table(Purpose.SFT, write_chat),)


def write_configs(written: Written) -> dict[str, str]:
    """arguments.txt, for openrlhf.cli.train_sft."""
    files = written.files[Purpose.SFT]
    lines = [
        f"--model.model_name_or_path={written.model}",
        f"--data.dataset={files[Split.TRAIN]}",
        "--data.input_key=messages",
        "--data.apply_chat_template",
        "--data.multiturn",
        f"--data.max_len={written.longest or 8192}",
    ]
    if Split.VALIDATION in files:
        lines.append(f"--eval.dataset={files[Split.VALIDATION]}")
    return {ARGUMENTS: write_lines(lines)}


OPENRLHF = Exporter(
    trainer=Trainer.OPENRLHF,
    summary="whole conversations; arguments.txt",
    renderings=(RenderingName.QWEN_TOOLS,),
    build_tables=build_tables,
    write_configs=write_configs,
    command=read_by("deepspeed --module openrlhf.cli.train_sft", ARGUMENTS),
)
