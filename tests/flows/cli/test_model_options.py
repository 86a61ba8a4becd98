"""Options that are fields of a model: its defaults, bounds and descriptions, and the values that it gets."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.model_options import nest_options, take_options
from flows.cli.train import RL, SFT
from schemas.training import RlRequest, SftRequest

FIELDS = {"search": "rollouts.search.url", "k": "rollouts.search.k", "lr": "weights.learning_rate"} | {
    name: name for name in ("steps", "epochs", "backend", "curriculum")
}


def run(*words: str) -> tuple[int, str, dict[str, Any]]:
    app, seen = typer.Typer(), {}

    @app.command()
    @take_options(RlRequest, FIELDS, lr=1e-6)
    def command(name: str, **options: Any) -> None:
        seen.update(nest_options(FIELDS, options) | {"name": name})

    result = CliRunner().invoke(app, words)
    return result.exit_code, result.output, seen


def test_values_are_those_of_the_model() -> None:
    code, _, values = run("n", "--search", "http://a", "--steps", "3", "--backend", "verl", "--curriculum")
    assert code == 0
    assert values["rollouts"] == {"search": {"url": "http://a", "k": 3}}
    assert values["weights"] == {"learning_rate": 1e-6}
    assert (values["name"], values["steps"], values["epochs"], values["curriculum"]) == ("n", 3, 1.0, True)
    request = {"base": "m", "data": "d", "output": "o", **values}
    del request["name"]
    assert RlRequest.model_validate(request).backend == "verl"


@pytest.mark.parametrize(
    "words", [(), ("--k", "0"), ("--k", "101"), ("--steps", "0"), ("--backend", "jax"), ("--epochs", "many")]
)
def test_bounds_and_required_fields_are_those_of_the_model(words: tuple[str, ...]) -> None:
    code, _, values = run("n", *(("--search", "http://a") if words else ()), *words)
    assert (code, values) == (2, {})


def test_descriptions_name_the_options() -> None:
    code, output, _ = run("--help")
    assert code == 0
    assert "unless --steps is set" in " ".join(output.replace("│", " ").split())
    assert "default: as many as the epochs give" in " ".join(output.replace("│", " ").split())


@pytest.mark.parametrize(("model", "fields"), [(SftRequest, SFT), (RlRequest, RL)])
def test_options_of_training_set_existing_fields(model: type[SftRequest | RlRequest], fields: dict[str, str]) -> None:
    for path in fields.values():
        kind: Any = model
        for name in path.split("."):
            kind = kind.model_fields[name].annotation
