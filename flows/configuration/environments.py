"""The recipes of the environments that servers and trainers live in, and where those are kept."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml

from flows.configuration.cache import cache_folder
from pipeline.errors import ConfigError
from pipeline.serving.environments import EnvironmentBuildError, PythonEnvironment, Recipe, find_environment

RECIPES = files("flows") / "environments"


def environments_folder() -> Path:
    """Where environments are kept: beside the assets."""
    return cache_folder().parent / "envs"


def list_recipes() -> list[str]:
    """Names of the environments that can be built."""
    return sorted(entry.name.removesuffix(".yaml") for entry in RECIPES.iterdir() if entry.name.endswith(".yaml"))


def read_recipe(name: str) -> Recipe:
    """The recipe of an environment. Raises ConfigError for a name that has none."""
    if name not in list_recipes():
        raise ConfigError(f"there is no environment {name}", f"the environments are {', '.join(list_recipes())}")
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
    """An environment that is built. Raises ConfigError for a name without a recipe, else EnvironmentBuildError."""
    environment = find_environment(read_recipe(name), environments_folder())
    if environment is None:
        raise EnvironmentBuildError(f"the environment {name} is not built", f"rampforge env create {name}")
    return environment
