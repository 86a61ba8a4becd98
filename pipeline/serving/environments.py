"""Python environments of their own for servers and trainers, which pin torch and transformers against each other.

An environment is a folder `<root>/<name>/`. Its marker is written last and holds a digest of the recipe it was built
from, so an environment that is unfinished, or was built from another recipe, is none and is built anew. Pip runs as a
subprocess, so the index, proxy and certificates that the user has set up for pip apply here too.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from pipeline.errors import RampforgeError

MARKER = "environment.json"
KEPT_LINES = 8
CHECK_SECONDS = 300.0

Progress = Callable[[str], None]
"""Told every line that pip prints."""


class EnvironmentBuildError(RampforgeError):
    """An environment cannot be built, or is there and does not work."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an environment is made of."""

    name: str
    summary: str
    """What it is for, for a person."""
    imports: str
    """The module that must import in it."""
    requirements: tuple[str, ...]
    """What pip installs, in one go."""
    alone: tuple[str, ...] = ()
    """What pip installs after that, without what it asks for."""
    remove: tuple[str, ...] = ()
    """What pip uninstalls afterwards."""
    variables: Mapping[str, str] | None = None
    """Environment variables that programs in it are started with, unless they are set already."""

    @property
    def package(self) -> str:
        """The package that it is all about."""
        return (*self.alone, *self.requirements)[0]

    @property
    def digest(self) -> str:
        """A hash of what gets installed."""
        installed = [self.requirements, self.remove, *([self.alone] if self.alone else [])]
        return hashlib.sha256(json.dumps(installed).encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """An environment that is wholly built."""

    recipe: Recipe
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return locate_python(self.folder)


def locate_python(folder: Path) -> Path:
    """Where the interpreter of an environment lies."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def find_environment(recipe: Recipe, root: Path) -> PythonEnvironment | None:
    """The environment, if it is wholly built from just this recipe."""
    folder = root / recipe.name
    try:
        digest = json.loads((folder / MARKER).read_text("utf-8"))["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return PythonEnvironment(recipe, folder) if digest == recipe.digest and locate_python(folder).exists() else None


def create_environment(
    recipe: Recipe,
    root: Path,
    variables: Mapping[str, str],
    progress: Progress | None = None,
    python: str = sys.executable,
) -> PythonEnvironment:
    """Build an environment, unless it is there.

    `variables`: the environment variables that pip sees; `python`: the interpreter it is built with. What pip prints is
    kept in `<root>/<name>.log`. Raises EnvironmentBuildError.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{recipe.name}.lock"):
            return find_environment(recipe, root) or _build(recipe, root, variables, progress, python)
    except OSError as error:
        raise EnvironmentBuildError(
            f"cannot build {recipe.name} in {root}: {error.strerror or error}",
            "make room there, or set RAMPFORGE_CACHE to another folder",
        ) from error


def _build(
    recipe: Recipe, root: Path, variables: Mapping[str, str], progress: Progress | None, python: str
) -> PythonEnvironment:
    folder = root / recipe.name
    if folder.exists():  # unfinished, or of another recipe
        shutil.rmtree(folder)
    pip = [str(locate_python(folder)), "-m", "pip", "--no-input", "--disable-pip-version-check"]
    listed = root / f"{recipe.name}.txt"
    listed.write_text("\n".join(recipe.requirements) + "\n", "utf-8")
    steps = [
        [python, "-m", "venv", str(folder)],
        # The pip that comes with Python may be too old for the wheels' tags and for its own settings.
        [*pip, "install", "--upgrade", "pip"],
        [*pip, "install", "--requirement", str(listed)],
    ]
    if recipe.alone:
        steps.append([*pip, "install", "--no-deps", *recipe.alone])
    if recipe.remove:
        steps.append([*pip, "uninstall", "--yes", *recipe.remove])
    log = root / f"{recipe.name}.log"
    with log.open("w", encoding="utf-8") as lines:

        def tell(line: str) -> None:
            lines.write(line + "\n")
            if progress:
                progress(line)

        for step in steps:
            _run_step(step, clean_variables(variables), tell, recipe, log)
    (folder / MARKER).write_text(json.dumps({"name": recipe.name, "digest": recipe.digest}) + "\n", "utf-8")
    return PythonEnvironment(recipe, folder)


def _run_step(command: Sequence[str], variables: Mapping[str, str], tell: Progress, recipe: Recipe, log: Path) -> None:
    last: deque[str] = deque(maxlen=KEPT_LINES)
    with subprocess.Popen(  # noqa: S603 - there is no shell; the words are ours
        command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                tell(line.rstrip())
                last.append(line.rstrip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        told = "\n".join(f"  {line}" for line in last)
        raise EnvironmentBuildError(
            f"building {recipe.name} failed ({' '.join(command[1:4])} ended with {process.returncode}):\n{told}",
            f"all that pip said is in {log}; mend it, then: rampforge env create {recipe.name}",
        )


def clean_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without those by which our own environment would leak into another."""
    leaks = {"PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV"}
    return {name: value for name, value in variables.items() if name not in leaks}


def check_environment(environment: PythonEnvironment, variables: Mapping[str, str]) -> str:
    """Import the main module in a process of its own; returns its version. Raises EnvironmentBuildError."""
    recipe = environment.recipe
    code = f"import {recipe.imports} as module; print(getattr(module, '__version__', 'unknown'))"
    fix = f"build it anew: rampforge env create {recipe.name} --again"
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [str(environment.python), "-c", code],
            env=clean_variables(variables),
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentBuildError(f"{recipe.name}: cannot run its Python: {error}", fix) from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise EnvironmentBuildError(f"{recipe.name}: `import {recipe.imports}` fails: {reason}", fix)
    return done.stdout.strip().splitlines()[-1]


def discard_environment(recipe: Recipe, root: Path) -> None:
    """Remove an environment, whole or not."""
    with FileLock(root / f".{recipe.name}.lock"):
        (root / recipe.name / MARKER).unlink(missing_ok=True)
        shutil.rmtree(root / recipe.name, ignore_errors=True)
