"""Python environments of servers and trainers, which pin torch and transformers against each other.

An environment is a folder `<root>/<name>/`. Its marker is written last, with a digest of its recipe, so that an
unfinished environment, or one of another recipe, is built again. Pip runs as a subprocess, with the index, proxy and
certificates of the user's configuration.
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
TAIL_LINES = 8
CHECK_SECONDS = 300.0

Progress = Callable[[str], None]
"""Takes each line of pip's output."""


class EnvironmentBuildError(RampforgeError):
    """An environment cannot be built, or does not work."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Packages of an environment."""

    name: str
    summary: str
    """Its purpose."""
    imports: str
    """The module that must be importable."""
    requirements: tuple[str, ...]
    """Packages that pip installs together."""
    alone: tuple[str, ...] = ()
    """Packages that pip installs after that, without their dependencies."""
    remove: tuple[str, ...] = ()
    """Packages that pip uninstalls afterwards."""
    variables: Mapping[str, str] | None = None
    """Default environment variables of programs in it."""

    @property
    def package(self) -> str:
        """The main package."""
        return (*self.alone, *self.requirements)[0]

    @property
    def digest(self) -> str:
        """A hash of the packages."""
        installed = [self.requirements, self.remove, *([self.alone] if self.alone else [])]
        return hashlib.sha256(json.dumps(installed).encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """A finished environment."""

    recipe: Recipe
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return locate_python(self.folder)


def locate_python(folder: Path) -> Path:
    """The path of an environment's interpreter."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def find_environment(recipe: Recipe, root: Path) -> PythonEnvironment | None:
    """The environment, if it is finished and of this recipe."""
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
    """Build an environment unless it is finished.

    `variables`: environment variables of pip; `python`: the interpreter to build it with. Pip's output is written to
    `<root>/<name>.log`. Raises EnvironmentBuildError.
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
    requirements = root / f"{recipe.name}.txt"
    requirements.write_text("\n".join(recipe.requirements) + "\n", "utf-8")
    steps = [
        [python, "-m", "venv", str(folder)],
        # The pip that comes with Python may be too old for the wheels' tags and for its own settings.
        [*pip, "install", "--upgrade", "pip"],
        [*pip, "install", "--requirement", str(requirements)],
    ]
    if recipe.alone:
        steps.append([*pip, "install", "--no-deps", *recipe.alone])
    if recipe.remove:
        steps.append([*pip, "uninstall", "--yes", *recipe.remove])
    log = root / f"{recipe.name}.log"
    with log.open("w", encoding="utf-8") as lines:

        def report(line: str) -> None:
            lines.write(line + "\n")
            if progress:
                progress(line)

        for step in steps:
            _run_step(step, clean_variables(variables), report, recipe, log)
    (folder / MARKER).write_text(json.dumps({"name": recipe.name, "digest": recipe.digest}) + "\n", "utf-8")
    return PythonEnvironment(recipe, folder)


def _run_step(
    command: Sequence[str], variables: Mapping[str, str], report: Progress, recipe: Recipe, log: Path
) -> None:
    last: deque[str] = deque(maxlen=TAIL_LINES)
    with subprocess.Popen(  # noqa: S603 - there is no shell; the words are ours
        command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                report(line.rstrip())
                last.append(line.rstrip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        tail = "\n".join(f"  {line}" for line in last)
        raise EnvironmentBuildError(
            f"building {recipe.name} failed ({' '.join(command[1:4])} ended with {process.returncode}):\n{tail}",
            f"pip's output is in {log}; repair the cause, then: rampforge env create {recipe.name}",
        )


def clean_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables without those that would carry this environment into another."""
    leaks = {"PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV"}
    return {name: value for name, value in variables.items() if name not in leaks}


def check_environment(environment: PythonEnvironment, variables: Mapping[str, str]) -> str:
    """The version of the main module, imported in a subprocess. Raises EnvironmentBuildError."""
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
    """Remove an environment, finished or not."""
    with FileLock(root / f".{recipe.name}.lock"):
        (root / recipe.name / MARKER).unlink(missing_ok=True)
        shutil.rmtree(root / recipe.name, ignore_errors=True)
