"""Text to vectors: by a model here, compared with plain forward passes, and by a server's /v1/embeddings."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import AssetError, SearchError
from pipeline.search.dense import DenseEngine
from pipeline.search.encoder import Prompts, choose_prompts, load_encoder
from pipeline.search.engine import SearchRequest
from pipeline.search.index.dense import build_dense
from pipeline.search.index.passages import build_store
from pipeline.search.remote.embeddings import EndpointEncoder
from pipeline.search.remote.service import SearchService
from schemas.search_config import DenseConfig, SearchServiceConfig
from tests.support.api_clients import open_async
from tests.support.passage_samples import draw_passages, make_passage, write_shards
from tests.support.tiny_encoders import WordEncoder, save_tiny_model

TEXTS = ["", "a", "stone bridge", *(p.text for p in draw_passages(40, longest=12))]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def encode_alone(folder: Path, text: str, pooling: str, cut: int) -> np.ndarray:
    """One text, no padding, pooled by hand."""
    from transformers import AutoModel, AutoTokenizer

    model: Any = AutoModel.from_pretrained(folder).train(False)
    ids = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=cut, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**ids).last_hidden_state[0].double().numpy()
    pooled = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling]
    found: np.ndarray = pooled / np.linalg.norm(pooled)
    return found


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_are_those_of_each_text_alone(model_folder: Path, pooling: str) -> None:
    config = DenseConfig(pooling=pooling, max_tokens=64, batch=7, device="cpu")
    vectors = load_encoder(str(model_folder), config).encode(TEXTS)
    for text, vector in list(zip(TEXTS, vectors, strict=True))[:12]:
        np.testing.assert_allclose(vector, encode_alone(model_folder, text, pooling, 64), atol=1e-5)


def test_neither_order_nor_batch_changes_a_vector(model_folder: Path) -> None:
    encoder = load_encoder(str(model_folder), DenseConfig(batch=64, device="cpu"))
    order = random.Random(0).sample(range(len(TEXTS)), len(TEXTS))
    shuffled = load_encoder(str(model_folder), DenseConfig(batch=5, device="cpu")).encode([TEXTS[i] for i in order])
    np.testing.assert_allclose(shuffled, encoder.encode(TEXTS)[order], atol=1e-5)
    assert encoder.encode([]).shape == encoder.encode_queries([]).shape == (0, encoder.dimension)
    alone = [encoder.encode_queries([text])[0] for text in TEXTS]
    assert np.array_equal(encoder.encode_queries(TEXTS), alone)


def test_files_of_sentence_transformers_are_followed(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path, pooling="pooling_mode_cls_token")
    encoder = load_encoder(str(folder), DenseConfig(device="cpu"), "tiny r1")
    assert encoder.identity == "tiny r1 pooling=cls tokens=40"
    np.testing.assert_allclose(encoder.encode(TEXTS[-1:])[0], encode_alone(folder, TEXTS[-1], "cls", 40), atol=1e-5)
    long = load_encoder(str(save_tiny_model(tmp_path / "plain")), DenseConfig(device="cpu"))
    assert long.identity.endswith("tokens=128")  # as many as the model has places for
    assert np.isfinite(long.encode(["stone " * 500])).all()
    assert load_encoder(str(folder), DenseConfig(pooling="last", device="cpu")).identity.endswith(
        "pooling=last tokens=40"
    )


@pytest.mark.parametrize(
    ("pooling", "named"),
    [
        ("pooling_mode_mean_tokens", "mean"), ("pooling_mode_lasttoken", "last"), ("mean", "mean"), ("cls", "cls"),
        ("lasttoken", "last"), (["cls"], "cls"),
    ],
)  # fmt: skip
def test_poolings_of_every_version_are_followed(tmp_path: Path, pooling: str | list[str], named: str) -> None:
    encoder = load_encoder(str(save_tiny_model(tmp_path, pooling=pooling)), DenseConfig(device="cpu"), "tiny")
    assert encoder.identity == f"tiny pooling={named} tokens=40"
    np.testing.assert_allclose(encoder.encode(TEXTS[-1:])[0], encode_alone(tmp_path, TEXTS[-1], named, 40), atol=1e-5)


@pytest.mark.parametrize("pooling", ["max", ["mean", "cls"], [], "pooling_mode_max_tokens"])
def test_the_configured_pooling_wins_over_one_that_is_not_done_here(tmp_path: Path, pooling: str | list[str]) -> None:
    folder = str(save_tiny_model(tmp_path, pooling=pooling))
    with pytest.raises(AssetError, match="which is not supported"):
        load_encoder(folder, DenseConfig(device="cpu"))
    assert load_encoder(folder, DenseConfig(pooling="mean", device="cpu"), "t").identity == "t pooling=mean tokens=40"


def test_prompts_beside_a_model_are_the_default(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "m", pooling="mean", prompts={"query": "query: ", "document": "passage: "})
    encoder = load_encoder(str(folder), DenseConfig(device="cpu"))
    assert choose_prompts(DenseConfig(), encoder) == Prompts("query: ", "passage: ")
    assert choose_prompts(DenseConfig(query_prefix="", passage_prefix="p "), encoder) == Prompts("", "p ")
    passages = [make_passage(i, text, i, title=text) for i, text in enumerate(["stone bridge", "a river"])]
    build_store(write_shards(tmp_path, passages), tmp_path / "index/passages")
    build_dense(tmp_path / "index", DenseConfig(), encoder)
    engine = DenseEngine(tmp_path / "index", DenseConfig(), encoder)
    (call,) = engine.search([SearchRequest("bridge")], 2)
    told = (
        encoder.encode_queries(["query: bridge"])
        @ encoder.encode([f"passage: {text}. {text}" for text in ("stone bridge", "a river")]).T
    )
    np.testing.assert_allclose([hit.score or 0.0 for hit in call.hits], sorted(told[0], reverse=True), atol=1e-5)
    plain = DenseEngine(tmp_path / "index", DenseConfig(query_prefix=""), encoder)
    assert plain.fingerprint != engine.fingerprint
    with pytest.raises(SearchError, match="other settings"):
        DenseEngine(tmp_path / "index", DenseConfig(passage_prefix=""), encoder)


def test_a_model_that_leaves_its_prompts_out_of_the_mean_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path, pooling="mean", prompts={"query": "query: "})
    about = json.loads((folder / "1_Pooling/config.json").read_text())
    (folder / "1_Pooling/config.json").write_text(json.dumps(about | {"include_prompt": False}))
    with pytest.raises(AssetError, match="out of the mean"):
        load_encoder(str(folder), DenseConfig())
    assert load_encoder(str(folder), DenseConfig(query_prefix=""), "t").prompts == Prompts("query: ")


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [{}, {"query": "query: ", "document": "passage: "}, {"passage": "p: "}])
def test_vectors_are_those_of_sentence_transformers(tmp_path: Path, prompts: dict[str, str]) -> None:
    """Saved and encoded by the library itself, where it is installed."""
    library = pytest.importorskip("sentence_transformers")
    plain = str(save_tiny_model(tmp_path / "plain"))
    theirs = library.SentenceTransformer(plain, device="cpu", prompts=prompts)
    theirs.save(str(tmp_path / "saved"))
    ours = load_encoder(str(tmp_path / "saved"), DenseConfig(device="cpu"))
    chosen = choose_prompts(DenseConfig(), ours)
    for encode, prefix in ((theirs.encode_query, chosen.query), (theirs.encode_document, chosen.passage)):
        wanted = encode(TEXTS, normalize_embeddings=True)
        np.testing.assert_allclose(ours.encode([prefix + text for text in TEXTS]), wanted, atol=1e-5)


def test_what_an_encoder_needs_and_is_not_done_here_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "max", pooling="pooling_mode_max_tokens")
    with pytest.raises(AssetError, match="pooling_mode_max_tokens"):
        load_encoder(str(folder), DenseConfig())
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*modules, {"path": "3", "type": "x.Dense"}]))
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    with pytest.raises(AssetError, match="a layer of kind Dense"):
        load_encoder(str(folder), DenseConfig())
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssetError, match="cannot load the encoder"):
        load_encoder(str(tmp_path / "empty"), DenseConfig())


class EmbeddingServer(BaseHTTPRequestHandler):
    """Answers every third request with 503; a text that says so gets a reply that is one vector short."""

    asked: list[dict[str, Any]]
    keys: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        self.keys.append(self.headers.get("Authorization", ""))
        vectors = 3 * WordEncoder().encode(body["input"])
        data = [{"index": index, "embedding": vector.tolist()} for index, vector in enumerate(vectors)]
        data = data[::-1] if "short" not in body["input"] else data[1:]
        content = json.dumps({"data": data}).encode()
        self.send_response(503 if len(self.asked) % 3 == 0 and "short" not in body["input"] else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[EmbeddingServer]]]:
    handler = type("Handler", (EmbeddingServer,), {"asked": [], "keys": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/v1", handler
        running.shutdown()


def open_endpoint(url: str, tries: int = 4) -> EndpointEncoder:
    service = SearchService("embeddings", SearchServiceConfig(tries=tries, deadline=20))
    return EndpointEncoder(service, open_async(url, "secret", None, 32), "tiny", 16, 8)


def test_an_endpoint_gives_the_same_vectors_in_order(server: tuple[str, type[EmbeddingServer]]) -> None:
    encoder = open_endpoint(server[0])
    np.testing.assert_allclose(encoder.encode(TEXTS[1:]), WordEncoder().encode([t[:64] for t in TEXTS[1:]]), atol=1e-5)
    assert set(server[1].keys) == {"Bearer secret"}
    assert {body["model"] for body in server[1].asked} == {"tiny"}
    assert max(len(body["input"]) for body in server[1].asked) == 8
    assert encoder.dimension == 32
    encoder.close()
    encoder.close()
    with pytest.raises(ConnectionError, match="closed"):
        asyncio.run(encoder._client.request("/embeddings", b"{}"))


def test_an_endpoint_that_fails_is_one_clear_error(server: tuple[str, type[EmbeddingServer]]) -> None:
    encoder = open_endpoint(server[0], tries=2)
    with pytest.raises(SearchError, match=r"embeddings of tiny failed: .*shape \(1, 32\) for 2 texts"):
        encoder.encode(["short", "text"])
    with pytest.raises(SearchError, match="no connection"):
        open_endpoint("http://127.0.0.1:9/v1", tries=1)
