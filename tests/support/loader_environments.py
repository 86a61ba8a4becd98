"""Trainers' own loaders, each in an environment of its own: where they are, and how a script is run in one.

`rampforge env create NAME` builds `trl`, `verl`, `loader-llamafactory`, `loader-ms-swift`, `loader-openrlhf` and
`loader-axolotl`; a test without its own is skipped, and says so.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows.configuration.environments import environments_folder, read_recipe
from pipeline.serving.environments import find_environment
from tests.support.export_samples import open_sample_masker
from tests.support.places import REPOSITORY

SCRIPTS = REPOSITORY / "tests" / "loaders"
SECONDS = 280
TEMPLATE = """\
{%- if tools %}{{ '<|im_start|>system\\nTools: ' + tools | tojson + '<|im_end|>\\n' }}{% endif %}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}
{%- if m.role == 'assistant' %}{% generation %}{{ m.content }}
{%- for call in m.tool_calls or [] %}{{ '<tool_call>\\n' + call.function | tojson + '\\n</tool_call>' }}{% endfor %}
{{- '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}
{%- else %}{{ m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""


def save_tokenizer(folder: Path) -> Path:
    """SmolLM2's tokenizer with a chat template that shows tools and marks what the model says; no weights."""
    from transformers import AutoConfig

    tokenizer = open_sample_masker().tokenizer
    kept = tokenizer.chat_template
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    tokenizer.chat_template = kept
    AutoConfig.from_pretrained(tokenizer.name_or_path).save_pretrained(folder)
    return folder


def run_loader(environment: str, script: str, *words: object) -> dict[str, Any]:
    """What a script of `tests/loaders` prints last, as JSON, in an environment; the test is skipped without it."""
    built = find_environment(read_recipe(environment), environments_folder())
    if built is None:
        pytest.skip(f"needs `rampforge env create {environment}`")
    variables = {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TOKENIZERS_PARALLELISM": "0",
    }
    done = subprocess.run(
        [built.python, SCRIPTS / f"{script}.py", *map(str, words)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen
