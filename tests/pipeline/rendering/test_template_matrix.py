"""Families of models x formats, by the chat templates of installed packages: each cell is exact, or refused.

Templates are read from the trainers' environment (`rampforge env create trl`), from an installed `trl`, and from the
folders in RAMPFORGE_CHAT_TEMPLATES. A family of which none is at hand is skipped: not tried.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from flows.configuration.cache import cache_folder
from flows.configuration.environments import environments_folder
from pipeline.assets.store import resolve_model
from schemas.renderings import RenderingName
from tests.support.template_matrix import judge_cell

pytestmark = [pytest.mark.slow, pytest.mark.assets]

STREAMS = {RenderingName.SEARCH_R1, RenderingName.RESEARCH}
CALLS = {RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH}
TAGS = {RenderingName.QWEN_TOOLS}


@dataclass(frozen=True)
class Family:
    """A row of the matrix."""

    name: str
    files: str
    """Pattern of the file names of its templates."""
    eos: str
    fits: set[RenderingName]
    """Formats that every template of the family expresses."""


FAMILIES = (
    Family("Qwen2.5", r"(Qwen-)?qwen2[._]5(-\w+-instruct)?", "<|im_end|>", STREAMS | CALLS | TAGS),
    Family("Qwen3", r"(Qwen-)?qwen3(-0\.6B)?", "<|im_end|>", STREAMS | CALLS | TAGS),
    Family("Qwen3 instruct", r"qwen3_instruct_\d+", "<|im_end|>", STREAMS | CALLS | TAGS),
    Family("Qwen3 thinking", r"qwen3_thinking_\d+", "<|im_end|>", STREAMS | CALLS),
    Family("Qwen3.5", r"qwen3[._]5.*", "<|im_end|>", STREAMS | CALLS | TAGS),
    Family("Qwen3.6", r"qwen3[._]6.*", "<|im_end|>", STREAMS | CALLS | TAGS),
    Family("Qwen3.8", r"qwen3[._]8.*", "<|im_end|>", STREAMS | CALLS | TAGS),
    Family("gpt-oss", r"(openai-)?gpt-?oss.*", "<|return|>", STREAMS | CALLS),
    Family("Llama 3", r"(meta-llama-)?llama-?3.*", "<|eot_id|>", STREAMS | TAGS),
    Family("Gemma 3", r"(google-)?gemma-?3", "<end_of_turn>", STREAMS | TAGS),
    Family("Gemma 4", r"(google-)?gemma-?4.*", "<turn|>", STREAMS),
    Family("GLM-4", r"glm-?4.*", "<|endoftext|>", STREAMS | CALLS),
    Family("GLM-5", r"glm-?5.*", "<|endoftext|>", STREAMS | CALLS),
    Family("DeepSeek R1", r"(deepseek-ai-)?deepseek[-_]r1.*", "<｜end▁of▁sentence｜>", STREAMS),
    Family("DeepSeek V3, V4", r"(deepseek-ai-)?deepseek-?v[34].*", "<｜end▁of▁sentence｜>", STREAMS),
    Family("Nemotron 3", r"(NVIDIA-)?nemotron[-_]3.*", "<|im_end|>", STREAMS | CALLS | TAGS),
    Family("Phi", r"(microsoft-)?phi-?\d.*", "<|endoftext|>", STREAMS | TAGS),
    Family("LFM2", r"lfm2.*", "<|im_end|>", STREAMS | TAGS),
    Family("SmolLM2", r"smollm2.*", "<|im_end|>", STREAMS | TAGS),
    Family("SmolLM3", r"(HuggingFaceTB-)?smollm3.*", "<|im_end|>", STREAMS | TAGS),
    Family("Kimi", r"(moonshotai-)?kimi.*", "<|im_end|>", STREAMS),
    Family("MiniMax M1, M2", r"minimax-m[12].*", "[e~[", STREAMS),
    Family("MiniMax M3", r"minimax-m3.*", "[e~[", CALLS | TAGS),
)


def list_folders() -> list[Path]:
    named = [Path(name) for name in os.environ.get("RAMPFORGE_CHAT_TEMPLATES", "").split(os.pathsep) if name]
    spec = find_spec("trl")
    installed = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    environment = (environments_folder() / "trl").glob("lib/python*/site-packages/trl")
    return [*named, *(place / "chat_templates" for place in (*installed, *environment))]


def find_templates(family: Family) -> dict[str, str]:
    """The templates of a family, by file name; trainers' own variants are left out."""
    pattern = re.compile(family.files, re.IGNORECASE)
    found = {
        path.stem: path.read_text("utf-8")
        for folder in list_folders()
        for path in sorted(folder.glob("*.jinja"))
        if pattern.fullmatch(path.stem) and not re.search(r"_training|_vl|[-_]VL", path.stem)
    }
    if family.name == "SmolLM2":
        found["asset"] = load("").chat_template
    return found


@cache
def load(template: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_model("smollm2-135m-instruct", cache_folder()))
    if template:
        tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family.name))
def test_each_cell_is_exact_or_refused(family: Family) -> None:
    templates = find_templates(family)
    if not templates:
        pytest.skip(f"no chat template of {family.name} is at hand: not tried")
    for name, template in templates.items():
        tokenizer = load(template)
        tokenizer.eos_token = family.eos
        cells = {rendering: judge_cell(tokenizer, rendering) for rendering in RenderingName}
        assert family.fits <= {rendering for rendering, cell in cells.items() if cell != "refused"}, name
