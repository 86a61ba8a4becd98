"""Checks that the policy server serves exactly the configured model, before any attempt.

A server with another model would fill a round with rows of a model that was not trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.checks.endpoints import WAIT_SECONDS, RefusedKeyError, UnlistedError, read_cards
from flows.models.credentials import open_credentials
from flows.models.policy import load_tokenizer, locate_policy
from flows.models.roles import find_hosts
from flows.models.serving import MANAGED
from pipeline.errors import ConfigError
from pipeline.http.errors import HttpStatusError
from pipeline.llm.chat_model import EndpointError
from pipeline.llm.credentials import Credentials
from pipeline.llm.roles import find_role
from pipeline.rollouts.model_fingerprint import fingerprint_model
from schemas.config import RunConfig
from schemas.llm_config import EndpointConfig
from schemas.roles import Role

PROBE = "<think>1868, “Łódź” 北京?</think>\n<search>a\nb</search>"


def refuse_wrong_model(config: RunConfig, cache: Path) -> None:
    """Check what every server of the role `policy` serves.

    Raises EndpointError for another model, another folder, another tokenizer, or too short a context; values that a
    server does not give cannot be compared, and a server that does not answer may be up by the time it is needed.
    """
    where = locate_policy(config, cache)
    tokenizer, _ = load_tokenizer(where)
    for name in find_hosts(config, Role.POLICY):
        if (endpoint := config.llm.endpoints.get(name)) is None:
            continue  # the managed server, not yet started
        credentials = open_credentials(name, endpoint)
        try:
            cards = read_cards(endpoint, credentials)
        except UnlistedError:
            cards = []
        except RefusedKeyError:
            raise
        except EndpointError:
            continue
        if cards:
            _compare_card(config, name, cards, where)
        _compare_tokens(config, name, endpoint, credentials, tokenizer)


def _compare_card(config: RunConfig, host: str, cards: list[dict[str, Any]], where: str) -> None:
    model, policy = find_role(config.llm, Role.POLICY).model, config.policy
    card = next((card for card in cards if card["id"] == model), None)
    if card is None:
        listed = ", ".join(sorted(str(card["id"]) for card in cards))
        raise EndpointError(
            f"{host} serves a different model: {listed} instead of {model}, the model of llm.roles.policy",
            f"start it with `vllm serve {where} --served-model-name {model}`, or correct llm.roles.policy.model",
        )
    root = Path(str(card.get("root") or ""))
    # A server whose weights were replaced still lists the folder that it was started with.
    stays = host == MANAGED or policy.reload is not None
    if not stays and root.is_absolute() and root.is_dir() and not _is_same(root, Path(where)):
        raise EndpointError(
            f"{host} serves a different model: {root} as {model}, but policy.model is {where}",
            "restart it with that folder, or set policy.reload to its URL for changing the model",
        )
    context, needed = card.get("max_model_len"), policy.max_prompt + policy.max_completion
    if isinstance(context, int) and context < needed:
        raise EndpointError(
            f"{host} has a context of {context} tokens; policy.max_prompt and policy.max_completion add up to {needed}",
            f"lower them, or start it with --max-model-len {needed}",
        )


def _is_same(served: Path, expected: Path) -> bool:
    """Return whether two folders contain the same model: the same folder, or one with the same files."""
    if served.resolve() == expected.resolve():
        return True
    try:
        return expected.is_dir() and fingerprint_model(served) == fingerprint_model(expected)
    except ConfigError:
        return False


def _compare_tokens(
    config: RunConfig, host: str, endpoint: EndpointConfig, credentials: Credentials, tokenizer: Any
) -> None:
    """Compare the tokens of the server, where it has an endpoint as in vLLM (`prompt`) and llama.cpp (`content`), with
    those of the tokenizer at hand.
    """
    base = endpoint.url.rstrip("/").removesuffix("/v1")
    model = find_role(config.llm, Role.POLICY).model
    from pipeline.llm.client import ApiClient

    text = PROBE + str(tokenizer.eos_token)
    body = {"model": model, "prompt": text, "content": text, "add_special_tokens": False, "add_special": False}
    try:
        with ApiClient(endpoint, credentials, WAIT_SECONDS) as client:
            tokens = json.loads(client.request(f"{base}/tokenize", body))["tokens"]
    except (HttpStatusError, ConnectionError, ValueError, KeyError, TypeError):
        return
    # No tokens for a text that has some: the server misread the request.
    if tokens and tokens != tokenizer(text, add_special_tokens=False)["input_ids"]:
        raise EndpointError(
            f"{host} has another tokenizer than {locate_name(config)}: its {model} is a different model",
            "serve the folder of policy.model",
        )


def locate_name(config: RunConfig) -> str:
    """Return the name of the model in the configuration."""
    return config.policy.model or config.serving.model or "policy.model"
