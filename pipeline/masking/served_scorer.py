"""Scorer of spans by a causal language model behind vLLM's `/v1/completions`, numerically equivalent to
`causal_scorer`.

Over HTTP every span is a separate prompt: the tokens before it, then its own, as token ids, so that nothing is
tokenised again. The numbers are returned as `prompt_logprobs`. Prompts are grouped into requests in order, with a fixed
number of tokens each, so that the same passages make the same requests. The server should hold the weights in float32
(`--dtype=float32`), because in a shorter type a prompt's numbers depend on its batch, and run without prefix caching
(`--no-enable-prefix-caching`): cached values were computed in other batches. (vLLM 0.32 does not read a cache for such
prompts.) A transient error costs nothing; a server that is silent too long ends the run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pipeline.http.errors import HttpStatusError, ThrottledError, UnavailableError
from pipeline.http.retrying import Retrying, retrying
from pipeline.llm.chat_model import EndpointError
from pipeline.llm.client import ApiClient
from pipeline.masking.closed_book import TextRanks
from pipeline.masking.perplexity import SpanContext, SpanScore
from pipeline.masking.span_trees import SpanTokens, TreeRow, encode_contexts, plant_rows
from schemas.llm_config import LimitsConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")

REQUEST_TOKENS = 8192
"""Prompt tokens of one request; a longer prompt is sent alone."""
REQUESTS = 4
"""Requests in flight, so that the server does not have to wait for the client."""
ANSWER_TOKENS = 1
"""A completion has at least one token; it is discarded, but needs room."""

UNLISTED = (404, 405, 500)
"""Statuses of servers that score, or refuse to, without a list of their models."""
OTHER_SCORERS = "use a vLLM server, or a local scorer"
DEFAULT_LIMITS = LimitsConfig()
FAULTS = (ConnectionError, ThrottledError, UnavailableError, json.JSONDecodeError)
"""Transient errors."""


@dataclass(frozen=True, slots=True)
class SpanPrompt:
    """Prompt for one span."""

    ids: list[int]
    """Tokens before the span, and its own."""
    span: int
    """Number of the span's own tokens, at the end."""


class ServedScorer:
    """SpanScorer that calls a server. `close` it, or use it as a context manager."""

    def __init__(
        self,
        client: ApiClient,
        model: str,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        limits: LimitsConfig = DEFAULT_LIMITS,
    ) -> None:
        """`client`: closed with the scorer; `model`: its name on the server; `name`: its name in the rows.

        Raises EndpointError where the server does not answer within a tenth of `limits.give_up`, or has no such model.
        """
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._limits = limits
        self._url = str(client.base_url).rstrip("/")
        self._client = client
        self._context = self._read_context()

    def score(self, items: Sequence[SpanContext]) -> list[list[SpanScore]]:
        """Return the score of every span, one list per item, in the given order. Raises EndpointError."""
        prompts: list[SpanPrompt] = []
        counts: list[int] = []
        for tokens in encode_contexts(self._tokenizer, items):
            rows = plant_rows(tokens, self._context - ANSWER_TOKENS)
            prompts.extend(prompt for row in rows for prompt in write_prompts(row))
            counts.append(len(tokens.branches))
        with ThreadPoolExecutor(REQUESTS) as pool:
            replies = pool.map(self._score_prompts, group_prompts(prompts))
            found = iter([score for reply in replies for score in reply])
        return [[next(found) for _ in range(count)] for count in counts]

    def rank_texts(self, before: str, texts: Sequence[str]) -> list[TextRanks]:
        """Return how likely the tokens of each text are among all others. Raises EndpointError."""
        encode = partial(self._tokenizer.encode, add_special_tokens=False)
        first = self._tokenizer.bos_token_id
        trunk = [*([] if first is None else [first]), *encode(before)]
        rows = plant_rows(
            SpanTokens(trunk, [len(trunk)] * len(texts), [encode(text) for text in texts]),
            self._context - ANSWER_TOKENS,
        )
        prompts = [prompt for row in rows for prompt in write_prompts(row)]
        return [found for group in group_prompts(prompts) for found in self._send_prompts(group, self._read_ranks)]

    def _read_ranks(self, prompt: SpanPrompt, choice: dict[str, Any]) -> TextRanks:
        tokens = self._read_tokens(prompt, choice)
        if not all("rank" in token for token in tokens):
            raise EndpointError(f"{self._url}: the server does not return ranks of tokens", OTHER_SCORERS)
        return TextRanks(tuple(token["rank"] - 1 for token in tokens), choice["text"])

    def _score_prompts(self, prompts: Sequence[SpanPrompt]) -> list[SpanScore]:
        return self._send_prompts(prompts, self._read_score)

    def _send_prompts(self, prompts: Sequence[SpanPrompt], read: Callable[[SpanPrompt, dict[str, Any]], T]) -> list[T]:
        body = {
            "model": self._model,
            "prompt": [prompt.ids for prompt in prompts],
            "max_tokens": ANSWER_TOKENS,
            "temperature": 0,
            "prompt_logprobs": 0,
        }
        choices = self._send("/completions", body)["choices"]
        if len(choices) != len(prompts):
            raise EndpointError(f"{self._url}: {len(choices)} replies to {len(prompts)} prompts")
        ordered = sorted(choices, key=lambda choice: int(choice["index"]))
        return [read(prompt, choice) for prompt, choice in zip(prompts, ordered, strict=True)]

    def _read_score(self, prompt: SpanPrompt, choice: dict[str, Any]) -> SpanScore:
        losses = [-token["logprob"] for token in self._read_tokens(prompt, choice)]
        return SpanScore(math.fsum(losses), len(losses))

    def _read_tokens(self, prompt: SpanPrompt, choice: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what the server says of each token of the span."""
        logprobs = choice.get("prompt_logprobs")
        if not logprobs or len(logprobs) != len(prompt.ids):
            raise EndpointError(f"{self._url}: the server does not return prompt_logprobs", OTHER_SCORERS)
        at = len(prompt.ids) - prompt.span
        return [logprobs[at + i][str(token)] for i, token in enumerate(prompt.ids[at:])]

    def _read_context(self) -> int:
        """Return the context window of the server, in tokens."""
        try:
            listed = self._send("/models", give_up=self._limits.give_up / 10).get("data") or []
        except EndpointError as error:
            if not isinstance(error.__cause__, HttpStatusError) or error.__cause__.status not in UNLISTED:
                raise
            listed = []
        served = {model["id"]: model for model in listed if isinstance(model, dict) and "id" in model}
        if served and self._model not in served:
            raise EndpointError(
                f"{self._url}: model {self._model} is not served here, but {', '.join(sorted(served))}",
                "set llm.roles.scorer.model to one of them",
            )
        length: int = served.get(self._model, {}).get("max_model_len") or self._tokenizer.model_max_length
        return length

    def _send(self, path: str, body: dict[str, Any] | None = None, give_up: float | None = None) -> dict[str, Any]:
        def send_once() -> dict[str, Any]:
            values: dict[str, Any] = json.loads(self._client.request(path, body))
            return values

        retry = retrying(
            Retrying,
            f"scorer {self._model}",
            FAULTS,
            seconds=give_up or self._limits.give_up,
            longest_pause=self._limits.max_wait,
        )
        try:
            return retry(send_once)
        except FAULTS as error:
            what = f"{self._url}: no answer ({type(error).__name__}: {error})"
            raise EndpointError(what, "check that the server is up: rampforge doctor") from error
        except HttpStatusError as error:
            what = f"{self._url}: the server refuses to score ({error})"
            unknown = "prompt_logprobs" in error.detail
            raise EndpointError(what, OTHER_SCORERS if unknown else "check what it serves: rampforge doctor") from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_prompts(row: TreeRow) -> Iterator[SpanPrompt]:
    """Write a row of trunk and branches as one prompt per span."""
    at = 0
    for length in row.lengths:
        before = row.ids[: row.reads[at] + 1]  # the trunk up to the token that predicts the span's first
        yield SpanPrompt(before + row.targets[at : at + length], length)
        at += length


def group_prompts(prompts: Sequence[SpanPrompt]) -> Iterator[list[SpanPrompt]]:
    """Group prompts in order, with at most REQUEST_TOKENS tokens together (or one prompt)."""
    group: list[SpanPrompt] = []
    size = 0
    for prompt in prompts:
        if group and size + len(prompt.ids) > REQUEST_TOKENS:
            yield group
            group, size = [], 0
        group.append(prompt)
        size += len(prompt.ids)
    if group:
        yield group
