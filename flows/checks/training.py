"""Checks of one machine before training: run them on every node of a cluster, each with its own rank."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx

from flows.checks.findings import Finding, State, look_at
from flows.checks.machine import GIB
from flows.configuration.cache import cache_folder
from flows.configuration.environments import open_environment
from pipeline.assets.store import resolve_model
from pipeline.errors import AssetError, SearchError
from pipeline.http.proxies import open_client
from pipeline.serving.environments import check_environment
from pipeline.training.requests import TrainingError
from schemas.training import Backend, Layout

WAIT_SECONDS = 10.0
CHECKPOINTS = 3
"""Maximum number of checkpoints on disk: two complete ones and the one being written."""
STATE_FACTOR = 8
"""Bytes of a checkpoint per parameter of two bytes: float32 weights, the two moments of AdamW, and a margin."""
UNKNOWN_MODEL = 2 * GIB


def check_training(
    out: Path, model: str, layout: Layout, backend: Backend = Backend.TRL, search: str | None = None
) -> Iterator[Finding]:
    """Return everything that a training needs of this machine."""
    yield look_at(f"environment {backend}", lambda: _check_environment(str(backend)))
    yield _check_gpus(layout)
    yield look_at("model", lambda: str(resolve_model(model, cache_folder())))
    if layout.nodes > 1:
        yield _check_port(layout)
    yield _check_folder(out, layout)
    yield _check_disk(out, model)
    if search:
        yield look_at("search server", lambda: _ask_server(search))


def require_training(out: Path, model: str, layout: Layout, backend: Backend, search: str | None) -> None:
    """Check the machine before training: everything when there are several machines, only the search server when there
    is one.

    Raises TrainingError with the failures.
    """
    if layout.nodes > 1:
        findings = list(check_training(out, model, layout, backend, search))
    else:
        findings = [look_at("search server", lambda: _ask_server(search))] if search else []
    failed = [finding for finding in findings if finding.state is State.FAIL]
    if failed:
        what = "; ".join(f"{finding.subject}: {finding.detail}" for finding in failed)
        raise TrainingError(what, failed[0].fix)


def count_gpus() -> int:
    """Return the number of GPUs available on this machine, as given by the driver; 0 without one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() and name.strip() != "-1"])
    return len(list_gpus())


def list_gpus() -> list[str]:
    """Return the names and free memory of the GPUs, one per line."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    argv = [program, "--query-gpu=name,memory.free", "--format=csv,noheader"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=WAIT_SECONDS, check=True)  # noqa: S603 - ours
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _check_environment(name: str) -> str:
    environment = open_environment(name)
    return f"works ({environment.recipe.imports} {check_environment(environment, os.environ)})"


def _check_gpus(layout: Layout) -> Finding:
    names, found = list_gpus(), count_gpus()
    required = layout.gpus
    if required == 0:
        return Finding("GPUs", State.OK, "not needed")
    if required is not None and found < required:
        return Finding("GPUs", State.FAIL, f"{found} available, {required} required", "set --gpus lower")
    if not found:
        state = State.FAIL if layout.nodes > 1 else State.WARN
        return Finding("GPUs", state, "none: one process trains on the CPU, slowly", "fine for a small model; --gpus 0")
    return Finding("GPUs", State.OK, f"{found}: {names[0]} free" if names else str(found))


def _check_port(layout: Layout) -> Finding:
    """Check that the head's port is free on the head, and that the others resolve its address."""
    if layout.rank == 0:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", layout.port))
            except OSError as error:
                detail = f"{layout.port} is in use ({error.strerror})"
                return Finding("port", State.FAIL, detail, "set --port to another port, on every machine")
        return Finding("port", State.OK, f"{layout.port} is free")
    try:
        address = socket.getaddrinfo(layout.address, layout.port, type=socket.SOCK_STREAM)[0][4][0]
    except OSError as error:
        return Finding("port", State.FAIL, f"{layout.address} cannot be resolved: {error.strerror}", "set --address")
    if str(address).startswith("127.") or address == "::1":
        detail = f"{layout.address} is this machine itself, not the head"
        return Finding("port", State.FAIL, detail, "set --address to the head's name")
    return Finding("port", State.OK, f"the head is {layout.address} ({address}), port {layout.port}")


def _check_folder(out: Path, layout: Layout) -> Finding:
    """Check that the folder is writable and, with several machines, that each sees the marker files of the others."""
    marks = out / "preflight"
    marker = marks / f"{layout.rank}-{socket.gethostname()}"
    try:
        marks.mkdir(parents=True, exist_ok=True)
        marker.write_text(uuid.uuid4().hex, "utf-8")
        seen = sorted(path.name for path in marks.iterdir())
    except OSError as error:
        return Finding("folder", State.FAIL, f"{out} is not writable ({error.strerror})", "use another --out")
    if layout.nodes == 1:
        return Finding("folder", State.OK, f"{out} is writable")
    others = {name.partition("-")[0] for name in seen}
    missing = [str(rank) for rank in range(layout.nodes) if str(rank) not in others]
    if missing:
        detail = f"marker files of the machines {', '.join(missing)} are not in {marks} yet"
        return Finding("folder", State.WARN, detail, "run preflight there too, then here again: is the folder shared?")
    return Finding("folder", State.OK, f"{out} is shared by {layout.nodes} machines")


def _check_disk(out: Path, model: str) -> Finding:
    """Check the disk space for the maximum number of checkpoints."""
    weights = _measure_weights(model)
    need = CHECKPOINTS * STATE_FACTOR * (weights or UNKNOWN_MODEL)
    free = shutil.disk_usage(out if out.exists() else out.absolute().parent).free
    unknown = "" if weights else ", for a model whose size is not known here"
    space = f"{free / GIB:.1f} GiB free, about {need / GIB:.1f} for {CHECKPOINTS} checkpoints{unknown}"
    if free < need:
        return Finding(
            "disk", State.FAIL if weights else State.WARN, space, "make room, or train an adapter (--tuning lora)"
        )
    return Finding("disk", State.OK, space)


def _measure_weights(model: str) -> int | None:
    """Return the size of the weights in bytes at two per parameter; None when they are not on this machine."""
    try:
        place = resolve_model(model, cache_folder())
    except AssetError:
        return None
    files = list(Path(place).glob("*.safetensors")) if isinstance(place, Path) else []
    return sum(file.stat().st_size for file in files) or None


def _ask_server(url: str) -> str:
    """Check what a search server returns for a query. Raises SearchError."""
    base = url.rstrip("/").removesuffix("/retrieve")
    fix = "start it: rampforge search serve RUN --host ADDRESS, reachable from this machine"
    body = {"queries": ["a test of the search server"], "topk": 1, "return_scores": True}
    try:
        with open_client(base, timeout=WAIT_SECONDS) as client:
            reply = client.post(f"{base}/retrieve", json=body)
    except httpx.HTTPError as error:
        raise SearchError(f"no search server answers at {base}: {error}", fix) from None
    if reply.status_code == httpx.codes.UNAUTHORIZED:
        return f"{base} answers, but requires a token (--search-key)"
    if reply.status_code != httpx.codes.OK:
        raise SearchError(f"{base}/retrieve answers HTTP {reply.status_code}", fix)
    return f"{base} answers in {reply.elapsed.total_seconds() * 1000:.0f} ms"
