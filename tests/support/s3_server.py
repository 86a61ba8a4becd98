"""A server that speaks S3's protocol, on this machine: moto's, with a bucket, and keys for whoever asks it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import httpx
import pytest

BUCKET = "corpora"


class S3Server:
    """The server, as its clients see it."""

    def __init__(self) -> None:
        """Started in a process of its own: all that moto holds is global."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                httpx.get(f"{self.url}/moto-api/", trust_env=False)
                break
            time.sleep(0.05)
        self.client("s3").create_bucket(Bucket=BUCKET)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "hush-hush",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        return import_module("boto3").client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="hush-hush",  # noqa: S106 - a fake server's
        )

    def make_reader(self) -> Mapping[str, str]:
        """The keys of a user who may read and nothing else. From now on every user's rights are looked at."""
        iam = self.client("iam")
        iam.create_user(UserName="reader")
        keys = iam.create_access_key(UserName="reader")["AccessKey"]
        allowed = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=policy)
        httpx.post(f"{self.url}/moto-api/reset-auth", content=b"0").raise_for_status()
        return {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"]}

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def speak_to(server: S3Server, patch: pytest.MonkeyPatch, **changes: str) -> Iterator[None]:
    """Clients made in the block find the server, and its keys, in the environment."""
    files = import_module("s3fs").S3FileSystem
    for name, value in {**server.environment, **changes}.items():
        patch.setenv(name, value)
    files.clear_instance_cache()
    yield
    files.clear_instance_cache()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[str]:
    """URL of a folder that no other test uses."""
    with speak_to(s3_server, monkeypatch):
        yield f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server that a test may spoil."""
    server = S3Server()
    with speak_to(server, monkeypatch):
        yield server
    server.stop()
