"""rampforge from a wheel, in the environment of another project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.api.conftest import SCRIPT, write_sources
from tests.support.places import REPOSITORY

PARTS = ("pyproject.toml", "README.md", "LICENSE", "schemas", "prompts", "pipeline", "flows")
SHOWN = (
    SCRIPT
    + """
import pipeline
print(rampforge.__file__, pipeline.__file__)
print(rampforge.Search(run).ask(run.table("passages")["title"][0].as_py(), k=1)[0].passage_id)
"""
)


def build_wheel(folder: Path) -> Path:
    """A wheel of the checkout, built from a copy: building leaves files behind."""
    for name in PARTS:
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / "source" / name)
    words = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), "."]
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=folder / "source", check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_a_wheel_works_in_another_project(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    (tmp_path / "source").mkdir()
    wheel = build_wheel(tmp_path)
    home = tmp_path / "project" / ".venv"
    venv.create(home, symlinks=True, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    # The libraries are those of this environment; the links to this checkout in it are not followed from there.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    words = ["install", "--quiet", "--no-deps", "--target", str(packages), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    write_sources(tmp_path / "project")
    (tmp_path / "project" / "script.py").write_text(SHOWN)
    ended = subprocess.run(
        [home / "bin" / "python", "script.py"], cwd=tmp_path / "project", capture_output=True, text=True, env={}
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[:2] == ["the script runs", "outputs/pilot"]
    assert lines[2].split() == [str(packages / name / "__init__.py") for name in ("rampforge", "pipeline")]
    assert (tmp_path / "project" / "outputs" / "pilot" / "report.html").is_file()
