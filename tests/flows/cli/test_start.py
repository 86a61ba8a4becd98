"""What a command imports before it knows what it is asked for."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "prefect", "spacy", "openai", "pandas", "datasets", "fastapi")
"""A tenth of a second to several each."""


def test_the_command_line_starts_without_heavy_libraries() -> None:
    code = f"import flows.cli.app, sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=120).split() == []
