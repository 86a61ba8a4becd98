"""Replies of other weights under the same name are not found again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from flows.configuration.run_context import RunContext
from flows.models.chat_models import describe_calls
from flows.models.weights import name_role_weights
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from tests.support.scripted_model import ScriptedModel, make_request

CHAT = {"roles": {"default": {"model": "m"}}, "endpoints": {"one": {"url": "http://127.0.0.1:9/v1"}}}


def make_weights(folder: Path, content: bytes) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(content)
    return str(folder)


def configure(**sections: Any) -> RunConfig:
    return RunConfig.model_validate({"llm": CHAT, **sections})


def name(config: RunConfig, role: str = "judge") -> str | None:
    return name_role_weights(config, Path("nowhere"), role)


def test_of_an_external_server_only_the_name_is_known() -> None:
    assert name(configure()) is None


@pytest.mark.parametrize("way", ["managed", "policy", "path"])
def test_other_weights_in_one_folder_are_distinguished(way: str, tmp_path: Path) -> None:
    folder = make_weights(tmp_path / "model", b"first")
    config = {
        "managed": lambda: configure(serving={"mode": "managed", "model": folder, "name": "m"}),
        "policy": lambda: configure(agents={"policy": "policy"}, policy={"model": folder}),
        "path": lambda: configure(llm={**CHAT, "roles": {"default": {"model": folder}}}),
    }[way]()
    role = "policy" if way == "policy" else "judge"
    first = name(config, role)
    assert first == name(config, role) is not None
    make_weights(tmp_path / "model", b"other")
    assert name(config, role) not in (first, None)


def test_a_hub_name_counts_with_its_revision_and_not_twice() -> None:
    serving = {"mode": "managed", "model": "owner/m", "name": "owner/m"}
    llm = {"roles": {"default": {"model": "owner/m"}}}
    assert name(configure(serving=serving, llm=llm)) is None
    assert name(configure(serving={**serving, "name": "m"})) == "owner/m"
    for arguments in (["--revision=v2"], ["--revision", "v2"]):
        changed = configure(serving={**serving, "arguments": arguments}, llm=llm)
        assert name(changed) == "owner/m --revision v2"


def test_a_folder_without_a_model_is_identified_by_its_name(tmp_path: Path) -> None:
    assert name(configure(llm={**CHAT, "roles": {"default": {"model": str(tmp_path)}}})) is None


def test_a_reply_of_other_weights_is_requested_anew(tmp_path: Path) -> None:
    folder = make_weights(tmp_path / "model", b"first")
    config = configure(serving={"mode": "managed", "model": folder, "name": "m"})
    context = RunContext(RunFolder(tmp_path / "run"), config, tmp_path)

    def ask() -> int:
        """Calls made."""
        client = OpenAiChatModel(config.llm, {})
        model = ScriptedModel()
        with JournaledChatModel(model, tmp_path / "calls.jsonl", describe_calls(context, client)) as journaled:
            asyncio.run(journaled.ask(make_request("Is it?", role="judge")))
        return len(model.asked)

    assert [ask(), ask()] == [1, 0]
    make_weights(tmp_path / "model", b"other")
    assert [ask(), ask()] == [1, 0]
