"""The mock server of the shared benchmark kit, as a process; it can also let single requests hang, as servers do.

`python -m tests.bench.mock_endpoint KIT PORT HANGS ARGUMENTS...` serves; HANGS is a share of the requests.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

KIT = Path(__file__).resolve().parents[3] / "shared" / "bench"


@contextmanager
def serve_mock(hangs: float = 0.0, **knobs: float) -> Iterator[str]:
    """Run the mock with these knobs; its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--{name}={value}" for name, value in knobs.items()]
    command = [sys.executable, "-m", "tests.bench.mock_endpoint", str(KIT), str(port), str(hangs), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError):
                read_stats(url)
                break
            time.sleep(0.1)
        try:
            yield f"{url}/v1"
        finally:
            server.terminate()


def read_stats(url: str) -> dict[str, Any]:
    """What the mock has counted."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as reply:
        stats: dict[str, Any] = json.loads(reply.read())
    return stats


def main(kit: str, port: str, hangs: float, options: list[str]) -> None:
    """Serve until killed."""
    sys.path.insert(0, kit)
    kit_mock: Any = __import__("mock_server")
    dice = random.Random(5)
    answer = kit_mock.Proto.answer

    def answer_or_hang(self: Any, *arguments: Any) -> None:
        if dice.random() >= hangs:
            answer(self, *arguments)

    kit_mock.Proto.answer = answer_or_hang
    knobs = {"latency": 0.5, "sigma": 0, "p500": 0, "p429": 0, "preset": 0, "pbad": 0, "retry_after": 1, "seed": 1}
    knobs |= {name: float(value) for name, value in (option[2:].split("=") for option in options)}
    kit_mock.uvloop.run(serve(kit_mock, int(port), knobs))


async def serve(kit_mock: Any, port: int, knobs: dict[str, float]) -> None:
    """The kit's own start, with our knobs."""
    state = kit_mock.State(knobs)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: kit_mock.Proto(state, loop), "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:])
