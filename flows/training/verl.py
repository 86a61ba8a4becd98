"""Writer of the files for verl, and the commands that start it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from flows import trainer_rewards
from flows.checks.training import count_gpus
from flows.configuration.environments import environments_folder, read_recipe
from pipeline.serving.environments import find_environment, locate_python
from pipeline.training.verl.files import write_verl_files
from schemas.training import RlRequest


def write_verl(request: RlRequest, console: Console) -> None:
    """Write the files of a training, which a cluster runs, whether or not this machine could."""
    recipe = read_recipe("verl")
    python = str(locate_python(environments_folder() / recipe.name))
    if find_environment(recipe, environments_folder()) is None:
        console.print("the environment verl is not built here: rampforge env create verl, on every machine")
    gpus = (count_gpus() or 8) if request.layout.gpus is None else max(request.layout.gpus, 1)
    reward = Path(str(trainer_rewards.__file__)).read_text("utf-8")
    overrides = write_verl_files(request, gpus, python, reward)
    root = Path(request.output) / "verl"
    line = f"{len(overrides)} overrides, dataset, agent loop and reward in {root}"
    console.print(line, highlight=False, soft_wrap=True)
    Console().print(f"one machine:  bash {root}/launch.sh\na cluster:    bash {root}/submit.sh", highlight=False)
