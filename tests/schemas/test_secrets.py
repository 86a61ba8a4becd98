"""No password and no key gets into a configuration: every field of its model is tried, whatever fields it has."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from flows.configuration.run_config import load_config
from pipeline.errors import ConfigError
from schemas.config import RunConfig
from schemas.secrets import looks_like_key, names_secret
from schemas.training import SearchEndpoint
from tests.support.command_line import rampforge

PASSWORD = "Sup3rS3cretPassw0rd"  # noqa: S105 - it must be found
URLS = (
    f"http://user:{PASSWORD}@host:8000/v1",
    f"http://{PASSWORD}@host/v1",
    f"https://host/v1?api_key={PASSWORD}",
    f"https://host/v1?key={PASSWORD}",
    f"http://127.0.0.1:8000/t/{PASSWORD}/retrieve",
    f"socks5://user:{PASSWORD}@host:1080",
    f"user:{PASSWORD}@proxy:3128",
)
KEYS = (f"sk-live-{PASSWORD}", f"hf_{PASSWORD}", f"Bearer {PASSWORD}")
REQUIRED = {"url": "http://127.0.0.1:8000/v1", "model": "m", "prompt": 1.0, "completion": 1.0}

Place = tuple[str, ...]


def list_text_places(model: type[BaseModel], place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every place of a configuration that takes text, with the shape it takes it in: text, list, mapping or any."""
    for name, info in model.model_fields.items():
        yield from list_places_in(info.annotation, (*place, name))


def list_places_in(annotation: Any, place: Place) -> Iterator[tuple[Place, str]]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from list_places_in(inner[0], place)
    elif origin in (Union, types.UnionType):
        for one in inner:
            yield from list_places_in(one, place)
    elif origin is dict:
        if isinstance(inner[1], type) and issubclass(inner[1], BaseModel):
            yield from list_text_places(inner[1], (*place, "one"))
        elif inner[1] not in (int, float):
            yield place, "mapping"
    elif origin is tuple and inner[0] is str:
        yield place, "list"
    elif annotation is str:
        yield place, "text"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from list_text_places(annotation, place)


PLACES = sorted(set(list_text_places(RunConfig)))


def build(place: Place, value: Any) -> dict[str, Any]:
    """A configuration with one value in it, and what the sections on the way ask for."""
    values: dict[str, Any] = {}
    section, model = values, RunConfig
    for name in place[:-1]:
        section = section.setdefault(name, {})
        if name == "one":
            section |= {key: REQUIRED[key] for key in REQUIRED if key in model.model_fields}
        found = find_model(model, name)
        model = found or model
    section[place[-1]] = value
    return values


def find_model(model: type[BaseModel], name: str) -> Any:
    """The model of a section, or of what a mapping of sections holds."""
    if name not in model.model_fields:
        return None
    stack = [model.model_fields[name].annotation]
    while stack:
        annotation = stack.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        stack.extend(get_args(annotation))
    return None


def test_the_places_are_found() -> None:
    assert (("llm", "endpoints", "one", "url"), "text") in PLACES
    assert (("llm", "roles", "one", "extra"), "mapping") in PLACES
    assert (("serving", "arguments"), "list") in PLACES
    assert (("serving", "variables"), "mapping") in PLACES
    assert len(PLACES) > 30


@pytest.mark.parametrize(
    ("place", "shape"), PLACES, ids=lambda value: ".".join(value) if isinstance(value, tuple) else ""
)
@pytest.mark.parametrize("secret", [*URLS, *KEYS])
def test_no_field_takes_a_secret(place: Place, shape: str, secret: str) -> None:
    value: Any = {"text": secret, "list": [secret], "mapping": {"some": secret}}[shape]
    with pytest.raises(ValidationError) as caught:
        RunConfig.model_validate(build(place, value))
    assert PASSWORD not in str(caught.value)
    assert ".".join(place) in str(caught.value).replace("\n", " ")


NAMED = ("api_key", "HF_TOKEN", "password", "Authorization", "x-api-key", "AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize("place", [place for place, shape in PLACES if shape == "mapping"], ids=".".join)
@pytest.mark.parametrize("name", NAMED)
def test_no_mapping_takes_a_value_that_is_secret_by_its_name(place: Place, name: str) -> None:
    for value in ({name: PASSWORD}, {"deep": {name: [PASSWORD]}}):
        if place[0] == "serving" and "deep" in value:
            continue  # variables hold no mappings
        with pytest.raises(ValidationError) as caught:
            RunConfig.model_validate(build(place, value))
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("place", [place for place, shape in PLACES if shape == "list"], ids=".".join)
@pytest.mark.parametrize("name", ["--api-key", "--hf-token", "-password"])
def test_no_list_of_arguments_takes_one(place: Place, name: str) -> None:
    header = f"{name.strip('-')}: {PASSWORD}"
    spellings = [f"{name}={PASSWORD}", f"{name} {PASSWORD}", f"{name}:{PASSWORD}", f"--dtype auto {name}  {PASSWORD}"]
    told = [[name, PASSWORD], ["--x", f'--json={{"api_key": "{PASSWORD}"}}'], ["-H", header], [f"--header={header}"]]
    for words in (*([spelling] for spelling in spellings), *told):
        with pytest.raises(ValidationError) as caught:
            RunConfig.model_validate(build(place, words))
        assert PASSWORD not in str(caught.value)


def test_what_is_no_secret_is_taken() -> None:
    extra = {
        **{
            "stop": ["Token:", "Key: "],
            "max_completion_tokens": 100,
            "stop_token_ids": [1, 2],
            "prompt_cache_key": "wiki",
            "temperature": None,
        },
        **{"chat_template_kwargs": {"enable_thinking": False, "eos_token": "<|im_end|>"}, "skip_special_tokens": True},
    }
    serving = {
        "arguments": [
            "--dtype=float32",
            "--max-num-seqs 8",
            "--kv-cache-dtype=fp8",
            "--tokenizer",
            "org/model",
            "--max-num-batched-tokens=4096",
            "--api-key",
        ],
        "variables": {"VLLM_CPU_KVCACHE_SPACE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_TOKEN": ""},
    }
    endpoints = {"a": {"url": "https://host.example/openai/v1?api-version=2024-10-21", "key": "AZURE_KEY_EASTUS2"}}
    config = RunConfig.model_validate(
        {
            "corpus": {"sources": ["a@b.xml", "s3://bucket/dump.xml", "hf:org/data/20231101.en", "C:/x@y"]},
            "llm": {"endpoints": endpoints, "roles": {"judge": {"model": "qwen3:8b", "extra": extra}}},
            "serving": serving,
        }
    )
    assert config.llm.roles["judge"].extra == extra


@pytest.mark.parametrize(
    "key",
    [
        "sk-live-SECRETPW88",
        "hf_abcdefghijKLMNOPqrst",
        "a8f5f167f44f4964e6c998dee827110c",
        "kJ8sD72hfkQ0xPz1",
        "QwErTyUiOpAsDfGh",
        "AKIAIOSFODNN7EXAMPLE",
        "not a name",
        "",
    ],
)
def test_a_key_is_no_name_of_a_variable(key: str) -> None:
    assert not key.isidentifier() or looks_like_key(key)
    for section in ("llm.endpoints.one.key", "search_service.key", "watch.webhook"):
        with pytest.raises(ValidationError) as caught:
            RunConfig.model_validate(build(tuple(section.split(".")), key))
        assert "NAME" in str(caught.value)
        assert not key or key not in str(caught.value)
    with pytest.raises(ValidationError):
        SearchEndpoint(url="http://host", key=key)


@given(st.from_regex(r"[A-Z]{2,9}(_[A-Z]{2,12}){0,4}(_KEY|_TOKEN|_URL|_WEBHOOK)?(_?[0-9]{1,2})?", fullmatch=True))
def test_names_of_variables_are_taken(name: str) -> None:
    assert RunConfig.model_validate({"watch": {"webhook": name}}).watch.webhook == name


@given(st.sampled_from(["max_tokens", "tokenizer", "token_ids", "keyboard", "author"]), st.integers(0, 9))
def test_names_of_parameters_are_none_of_secrets(name: str, number: int) -> None:
    assert not names_secret(f"{name}{number}")


def test_the_command_line_says_it_without_the_secret_and_writes_nothing(tmp_path: Path) -> None:
    home = {"PREFECT_HOME": str(tmp_path / "prefect"), "RAMPFORGE_CACHE": str(tmp_path / "cache")}
    endpoint = f'llm.endpoints={{local: {{url: "http://u:{PASSWORD}@127.0.0.1:9/v1"}}}}'
    environment = {"PATH": "/usr/bin:/bin", **home}
    code, output = rampforge(environment, "run", "dump.xml", "--out", str(tmp_path / "out"), "--set", endpoint)
    assert code == 1
    assert "llm.endpoints.local.url" in output
    assert PASSWORD not in output
    assert not any(PASSWORD.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError) as caught:
        load_config(None, [f"seed.x.key=sk-live-{PASSWORD}", f"seed=sk-live-{PASSWORD}"])
    assert PASSWORD not in str(caught.value)
