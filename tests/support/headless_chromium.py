"""A page in headless Chromium, over its DevTools protocol: what it logs, what it asks of the network, how it looks."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
START_SECONDS = 30


class Page:
    """One open page."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last = 0
        self._events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its reply; events that come in between are kept."""
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while (message := json.loads(self._connection.recv(timeout=START_SECONDS))).get("id") != self._last:
            self._events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        result: dict[str, Any] = message.get("result", {})
        return result

    def open(self, page: Path | str, width: int, height: int = 900, *, dark: bool = False, script: bool = True) -> None:
        """Load a local file, or an address, in a window of this size, in CSS pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Emulation.setScriptExecutionDisabled", value=not script)
        self._events.clear()
        self.send("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(json.loads(self._connection.recv(timeout=START_SECONDS)))

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        reply = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(str(reply["exceptionDetails"]))
        return reply["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a letter key or Enter."""
        text = "\r" if key == "Enter" else key
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, text=text if kind == "keyDown" else "")

    def complaints(self) -> list[str]:
        """Everything the page logged or threw since it was opened."""
        self.evaluate("new Promise((done) => setTimeout(done, 50))")
        told = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self._events if event["method"] in told]

    def requests(self) -> list[str]:
        """Every address asked for since the page was opened."""
        sent = [event for event in self._events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def photograph(self, path: Path, top: int = 0, height: int | None = None) -> None:
        """Write a PNG of the page from `top` on; the whole page when no height is given."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"], "height": height or size["height"] - top, "scale": 1}
        path.write_bytes(b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]))


@contextmanager
def open_chromium(profile: Path) -> Iterator[Page]:
    """Start Chromium with a profile of its own, and end it afterwards."""
    if CHROMIUM is None:
        raise FileNotFoundError("no chromium on this machine")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0"]
    command = [CHROMIUM, *flags, "--disable-background-networking", "--no-first-run", f"--user-data-dir={profile}"]
    process = subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = next(line.split()[-1] for line in process.stderr if line.startswith("DevTools listening"))
        with connect(address, max_size=None) as browser:
            browser.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            targets = json.loads(browser.recv(timeout=START_SECONDS))["result"]["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        with connect(f"{address.split('/devtools/')[0]}/devtools/page/{page}", max_size=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)
