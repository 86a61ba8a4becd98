"""Recipes of the environments of servers and trainers, and their location."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml

from flows.configuration.cache import cache_folder
from pipeline.errors import ConfigError
from pipeline.serving.environments import EnvironmentBuildError, PythonEnvironment, Recipe, find_environment

RECIPES = files("flows") / "environments"


def environments_folder() -> Path:
    """Return the folder of the environments, beside the assets."""
    return cache_folder().parent / "envs"


def list_recipes() -> list[str]:
    """Return the names of the environments."""
    return sorted(entry.name.removesuffix(".yaml") for entry in RECIPES.iterdir() if entry.name.endswith(".yaml"))


def read_recipe(name: str) -> Recipe:
    """Read the recipe of an environment. Raises ConfigError for an unknown name."""
    if name not in list_recipes():
        raise ConfigError(f"no environment {name}", f"the environments are {', '.join(list_recipes())}")
    values = yaml.safe_load((RECIPES / f"{name}.yaml").read_text("utf-8"))
    return Recipe(
        name=name,
        summary=values["summary"],
        imports=values["imports"],
        requirements=tuple(values["requirements"]),
        alone=tuple(values.get("alone", ())),
        remove=tuple(values.get("remove", ())),
        variables=values.get("variables", {}),
    )


def open_environment(name: str) -> PythonEnvironment:
    """Open an existing environment. Raises ConfigError for an unknown name, EnvironmentBuildError
    if it is not built.
    """
    environment = find_environment(read_recipe(name), environments_folder())
    if environment is None:
        raise EnvironmentBuildError(f"the environment {name} is not built", f"rampforge env create {name}")
    return environment
