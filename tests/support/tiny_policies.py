"""A trained model without weights: a real tokenizer in a model folder, and what it says by a script, as vLLM would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

from pipeline.llm.chat_model import ChatReply, ChatRequest
from pipeline.search.engine import FoundPassage, SearchRequest, check_query, make_call
from schemas.live import EndpointLive
from schemas.trajectories import Hit, SearchCall, SearchStatus
from tests.support.scripted_http import Said, ScriptedHttp

END = "<|im_end|>"
TEMPLATE = """\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
RIGHT = ("<think>When?</think>\n<search>school founded</search>", "<think>Found.</think>\n<answer>1868</answer>")

Say = Callable[[str, int], str]
"""The text so far, the prompt included, and how many requests came before, to what the model says next."""


@cache
def make_tokenizer() -> Any:
    """Byte-level BPE with merges across tags, so that tokens and tags end at different places."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<|im_start|>", END], initial_alphabet=alphabet, show_progress=False
    )
    texts = [*RIGHT, '</search>\n\n<information>Doc 1(Title: "A page") the school</information>\n\n', "</answer>\n"]
    tokenizer.train_from_iterator(texts * 20, trainer)
    wrap: Any = PreTrainedTokenizerFast  # its constructor carries no types
    return wrap(tokenizer_object=tokenizer, eos_token=END, pad_token=END, chat_template=TEMPLATE)


def write_model(folder: Path, weights: bytes = b"weights") -> Path:
    """A model folder that holds everything but real weights."""
    make_tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def complete(said: str, max_tokens: int, stop: Sequence[str]) -> tuple[list[int], str, str]:
    """Tokens, text and finish reason, as vLLM has them: the last token whole, though the text ends with the stop."""
    tokenizer = make_tokenizer()
    ids: list[int] = []
    for token in tokenizer(said, add_special_tokens=False)["input_ids"]:
        if len(ids) == max_tokens:
            return ids, read(ids), "length"
        ids.append(token)
        text = read(ids)
        if token == tokenizer.eos_token_id:
            return ids, text.removesuffix(END), "stop"
        places = [text.find(mark) + len(mark) for mark in stop if mark in text]
        if places:
            return ids, text[: min(places)], "stop"
    return ids, read(ids), "length"


def read(ids: Sequence[int]) -> str:
    return str(make_tokenizer().decode(list(ids), clean_up_tokenization_spaces=False))


def in_turn(*turns: str) -> Say:
    """Says these things one after another in each attempt: how far it is is told by the results put in."""

    def say(text: str, _: int) -> str:
        done = text.count("</information>\n\n") + text.count("</result>\n\n")
        return turns[min(done, len(turns) - 1)]

    return say


class ScriptedTokens:
    """A model service that goes on from tokens by a script."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.asked: list[ChatRequest] = []

    async def ask(self, request: ChatRequest) -> ChatReply:
        number = len(self.asked)
        self.asked.append(request)
        await asyncio.sleep(0)
        said = self._say(read(request.prompt_ids), number)
        ids, text, finish = complete(said, request.max_tokens, request.stop)
        return ChatReply(text, "", finish, "tiny", len(request.prompt_ids), len(ids), token_ids=tuple(ids))

    def stop(self) -> None:
        """There is nothing to stop."""

    async def close(self) -> None:
        """There is nothing to close."""

    def load(self) -> tuple[EndpointLive, ...]:
        return ()


class OneShelf:
    """An engine that finds the same passages for everything; `status` makes every search end so."""

    fingerprint = "shelf"

    def __init__(self, *texts: str, status: SearchStatus | None = None) -> None:
        self._texts = texts or ("Ada Byron founded the school in 1868.",)
        self._status = status
        self.asked: list[SearchRequest] = []

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        self.asked += requests
        hits = tuple(Hit(passage_id=f"p{n}", score=9.0 - n) for n in range(len(self._texts)))[:k]
        if self._status:
            return [SearchCall(query=r.query, status=self._status, hits=(), detail="down") for r in requests]
        return [make_call(check_query(request, k)[0], hits) for request in requests]

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        return [FoundPassage(name, "A page", self._texts[int(name[1:])]) for name in passage_ids]

    async def close(self) -> None:
        """There is nothing to close."""


class PolicyHttp(ScriptedHttp):
    """A server like vLLM's, over HTTP: /v1/completions, /v1/models, /tokenize."""

    def __init__(
        self, say: Say, fault: Callable[[int], Said | None] = lambda number: None, tokens: bool = True, **card: Any
    ) -> None:
        """`fault`: instead of the reply with this number; `tokens`: return them; `card`: what /v1/models says."""
        super().__init__(self._answer)
        self._say, self._fault, self._tokens = say, fault, tokens
        self.card = {"id": "tiny", **card}
        self.completed: list[dict[str, Any]] = []
        self.answered = 0

    def _answer(self, request: web.Request, body: bytes, number: int) -> Said:
        if request.path == "/v1/models":
            return _tell({"data": [self.card]})
        if request.path == "/tokenize":
            return _tell({"tokens": make_tokenizer()(json.loads(body)["prompt"])["input_ids"]})
        if request.path != "/v1/completions":
            return Said(404)
        asked = json.loads(body)
        self.completed.append(asked)
        if (fault := self._fault(len(self.completed) - 1)) is not None:
            return fault
        said = self._say(read(asked["prompt"]), len(self.completed) - 1)
        ids, text, finish = complete(said, asked["max_tokens"], asked["stop"])
        choice = {"text": text, "finish_reason": finish, **({"token_ids": ids} if self._tokens else {})}
        self.answered += 1
        return _tell({"choices": [choice], "usage": {}})


def _tell(value: Any) -> Said:
    return Said(body=json.dumps(value).encode())
