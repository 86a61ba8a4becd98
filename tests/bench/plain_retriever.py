"""The server to be measured against: the shape that retrievers for RL are usually written in, in our own words.

FastAPI, one process, one synchronous endpoint that FastAPI runs in its pool of threads, pydantic in and out, bare bm25s
over the same passages and terms, texts in a list in memory. `python -m tests.bench.plain_retriever SHARD PORT`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bm25s
import pyarrow.parquet as pq
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from pipeline.search.tokens import make_tokenizer


class Question(BaseModel):
    queries: list[str]
    topk: int | None = None
    return_scores: bool = False


class Retriever:
    """Bare bm25s, one query after the other."""

    def __init__(self, shard: Path) -> None:
        rows = pq.read_table(shard, columns=["passage_id", "title", "text"]).to_pylist()
        self._documents = [{"id": r["passage_id"], "contents": f'"{r["title"]}"\n{r["text"]}'} for r in rows]
        self._tokenize = make_tokenizer("en")
        self._model = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
        self._model.index([self._tokenize(f"{r['title']}. {r['text']}") for r in rows], show_progress=False)

    def search(self, query: str, k: int) -> tuple[list[dict[str, str]], list[float]]:
        rows, scores = self._model.retrieve([self._tokenize(query)], k=k, show_progress=False)
        return [self._documents[row] for row in rows[0]], scores[0].tolist()


def make_app(retriever: Retriever) -> FastAPI:
    """One endpoint."""
    app = FastAPI()

    @app.post("/retrieve")
    def retrieve(question: Question) -> dict[str, Any]:
        result: list[Any] = []
        for query in question.queries:
            documents, scores = retriever.search(query, question.topk or 3)
            pairs = zip(documents, scores, strict=True)
            result.append([{"document": d, "score": s} for d, s in pairs] if question.return_scores else documents)
        return {"result": result}

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(Retriever(Path(sys.argv[1]))), port=int(sys.argv[2]), log_level="warning")
