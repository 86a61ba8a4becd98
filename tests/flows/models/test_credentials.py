"""Keys: read from the environment by one module, and asked for by name where they are not set."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.models.credentials import open_credentials, read_endpoint_keys, read_keys, read_token
from pipeline.errors import ConfigError
from schemas.llm_config import EndpointConfig

FLOWS = Path(__file__).resolve().parents[3] / "flows"
READERS_OF_KEYS = {"Credentials", "OpenAiChatModel", "open_judge", "open_notifier", "WebSource"}
"""They take keys; the environment itself is not for them."""
ENDPOINT = EndpointConfig(url="http://127.0.0.1:1/v1", key="SOME_KEY")


def find_key_reads(tree: ast.AST) -> Iterator[int]:
    """Lines that read a variable of the environment by a name that is no literal, or pass the environment on."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Attribute(attr="environ"), slice=name, ctx=ast.Load()):
                names = [name]
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"), args=names):
                pass
            case ast.Call(func=ast.Attribute(attr="getenv") | ast.Name(id="getenv"), args=names):
                pass
            case ast.Call(func=ast.Name(id=name), args=arguments) if name in READERS_OF_KEYS:
                if any(isinstance(argument, ast.Attribute) and argument.attr == "environ" for argument in arguments):
                    yield node.lineno
                continue
            case _:
                continue
        first = names[0]
        if not (
            isinstance(first, ast.Constant | ast.JoinedStr) or (isinstance(first, ast.Name) and first.id.isupper())
        ):
            yield node.lineno


def test_keys_are_read_in_one_module() -> None:
    found = {
        str(path.relative_to(FLOWS)): lines
        for path in sorted(FLOWS.rglob("*.py"))
        if (lines := list(find_key_reads(ast.parse(path.read_text()))))
    }
    assert list(found) == ["models/credentials.py"], found


def test_a_key_that_is_not_set_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    assert read_keys(["SOME_KEY", None, ""]) == {}
    with pytest.raises(ConfigError) as caught:
        open_credentials("here", ENDPOINT)
    assert "SOME_KEY" in caught.value.fix
    with pytest.raises(ConfigError) as caught:
        read_token("SOME_KEY")
    assert "SOME_KEY" in caught.value.fix
    monkeypatch.setenv("SOME_KEY", "k")
    assert open_credentials("here", ENDPOINT).read_key() == read_token("SOME_KEY") == "k"
    assert read_endpoint_keys([ENDPOINT]) == {"SOME_KEY": "k"}
    assert open_credentials("here", ENDPOINT.model_copy(update={"key": None})).read_key() == ""
    assert read_token(None) is None
