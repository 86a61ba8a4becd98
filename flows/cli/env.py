"""Command `rampforge env`: Python environments of model servers and trainers."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.configuration.environments import environments_folder, list_recipes, read_recipe
from pipeline.serving.environments import (
    EnvironmentBuildError,
    Recipe,
    check_environment,
    create_environment,
    discard_environment,
    find_environment,
)

env_app = typer.Typer(no_args_is_help=True, help="Manage the Python environments of model servers and trainers.")


@env_app.command("list")
def list_environments(
    check: Annotated[bool, typer.Option("--check", help="Import the main package of each (slow).")] = False,
) -> None:
    """List all environments, and whether they are built."""
    table = Table(title=f"Environments (in {environments_folder()})")
    for column in ("name", "purpose", "main package", "built"):
        table.add_column(column)
    for name in list_recipes():
        recipe = read_recipe(name)
        table.add_row(name, recipe.summary, recipe.package, describe_state(recipe, check))
    Console().print(table)


def describe_state(recipe: Recipe, check: bool) -> str:
    """Describe whether an environment is built and, with `check`, whether it works."""
    environment = find_environment(recipe, environments_folder())
    if environment is None:
        there = (environments_folder() / recipe.name).exists()
        return "no (unfinished, or built from an older recipe)" if there else "no"
    if not check:
        return "yes"
    try:
        return f"works ({recipe.imports} {check_environment(environment, os.environ)})"
    except EnvironmentBuildError as error:
        return error.what


@env_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(list_recipes())}.")],
    again: Annotated[bool, typer.Option("--again", help="Discard the existing environment.")] = False,
    python: Annotated[str | None, typer.Option(help="Python interpreter; default: the one running rampforge.")] = None,
) -> None:
    """Build an environment from its requirements; an existing one is left unchanged."""
    console = Console(stderr=True)
    recipe = read_recipe(name)
    if again:
        discard_environment(recipe, environments_folder())
    with console.status(f"building {name}") as status:

        def show(line: str) -> None:
            status.update(Text(line[: console.width - 4]))

        more = {"python": python} if python else {}
        environment = create_environment(recipe, environments_folder(), os.environ, show, **more)
        status.update(f"checking {name}")
        version = check_environment(environment, os.environ)
    Console().print(f"{name}: {environment.folder} ({recipe.imports} {version})", highlight=False, soft_wrap=True)
