"""A server that cannot be reached: the cause is named, with the way out."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.checks.endpoints import list_models
from schemas.llm_config import EndpointConfig
from tests.support.chat_servers import DEAD, reply, serve


@contextmanager
def serve_tls(folder: Path) -> Iterator[int]:
    """A server behind a self-signed certificate; its port."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", *words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": [{"id": "m"}]}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.socket = tls.wrap_socket(listener.socket, server_side=True)
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        yield listener.server_port
        listener.shutdown()


def ask_for_list(url: str) -> tuple[str, str]:
    listing = list_models("one", EndpointConfig(url=url))
    assert listing.fault is not None
    assert listing.silent
    return listing.fault.what, listing.fault.fix


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_and_its_absence_are_distinguished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_tls(tmp_path) as port:
        what, fix = ask_for_list(f"https://localhost:{port}/v1")
        assert "certificate" in what
        assert "SSL_CERT_FILE" in fix
        what, fix = ask_for_list(f"http://localhost:{port}/v1")
        assert "TLS" in what
        assert fix == f"write https://localhost:{port}/v1"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert list_models("one", EndpointConfig(url=f"https://localhost:{port}/v1")).models == ("m",)
    with serve(lambda body: reply()) as server:
        what, fix = ask_for_list(f"https://127.0.0.1:{server.port}/v1")
        assert "TLS" in what
        assert fix == f"write http://127.0.0.1:{server.port}/v1"


def test_other_silences_name_their_cause() -> None:
    assert "connection refused" in ask_for_list(DEAD)[0]
    assert "unknown host name no-such-host.invalid" in ask_for_list("http://no-such-host.invalid/v1")[0]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        assert "does not answer" in ask_for_list(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")[0]
