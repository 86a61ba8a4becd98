"""Command `rampforge templates`: the conversation formats that the chat template of a model can express."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.errors import ConfigError
from pipeline.storage.files import wrap_os_errors

if TYPE_CHECKING:
    from pipeline.rendering.template_check import FormatCheck

ENDS = {"bos_token": "<s>", "eos_token": "</s>"}
"""Tokens that templates may ask for."""

templates_app = typer.Typer(no_args_is_help=True, help="Check which formats the chat template of a model can express.")


@templates_app.callback()
def about_templates() -> None:
    """Check which formats the chat template of a model can express."""


@templates_app.command()
def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, hub name, asset, or a .jinja file.")],
) -> None:
    """Print which formats the chat template can express, and why not.

    Exit code 1 if it can express none.
    """
    from pipeline.rendering.chat_text import ChatText
    from pipeline.rendering.template_check import FormatOutcome, check_template

    checks = check_template(ChatText(open_template(model)))
    print_checks(model, checks, Console())
    if all(one.outcome is FormatOutcome.REFUSED for one in checks):
        raise typer.Exit(1)


def open_template(model: str) -> Any:
    """Return the tokenizer of a model, or one with the template in a file. Raises RampforgeError."""
    if not model.endswith(".jinja"):
        from flows.models.tokenizers import open_masker

        return open_masker(model).tokenizer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    path = Path(model)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file", "name a file with a chat template, a model folder or a hub name")
    make: Any = PreTrainedTokenizerFast  # untyped
    tokenizer = make(tokenizer_object=Tokenizer(WordLevel({"-": 0})), **ENDS)
    with wrap_os_errors(path):
        tokenizer.chat_template = path.read_text("utf-8")
    return tokenizer


def print_checks(model: str, checks: tuple[FormatCheck, ...], console: Console) -> None:
    """Print one row per format."""
    table = Table("rendering", "tokens", "", title=f"chat template of {model}", title_justify="left")
    for one in checks:
        table.add_row(one.rendering, one.outcome, "\n".join(one.notes))
    console.print(table, markup=False, highlight=False)
