"""A hub that does not answer is asked once, briefly; what it left on this machine is still read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

from flows.models.hub import find_silence
from flows.models.tokenizers import read_tokenizer
from pipeline.errors import AssetError
from tests.support.scripted_http import Said, ScriptedHttp

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How the tokenizer was asked for; there is none."""
    calls: list[dict[str, Any]] = []

    def refuse(where: object, **options: Any) -> None:
        calls.append(options)
        raise OSError("not found")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", refuse)
    return calls


@pytest.mark.parametrize(("status", "silent"), [(200, False), (404, False), (405, False), (503, True)])
def test_a_hub_answers_unless_it_or_a_proxy_fails(
    opened: list[Any], status: int, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedHttp(lambda request, body, count: Said(status)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/")
        assert bool(find_silence()) is silent
        with pytest.raises(AssetError):
            read_tokenizer("org/model", Path("nowhere"))
        assert opened == [{"local_files_only": silent}]
        assert len(hub.asked) == 2


def test_without_a_hub_the_cache_is_read_and_the_hub_named(
    opened: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", DEAD)
    with pytest.raises(AssetError, match=DEAD):
        read_tokenizer("org/model", tmp_path)
    assert opened == [{"local_files_only": True}]


def test_a_folder_asks_no_hub(opened: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedHttp(lambda request, body, count: Said(200)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(AssetError):
            read_tokenizer(str(tmp_path), tmp_path)
        assert not hub.asked
