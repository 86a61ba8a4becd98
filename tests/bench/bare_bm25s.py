"""Writes the matrix of one of our indexes as bare bm25s saves it, so that both can be measured over the same scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import bm25s

from pipeline.search.index.bm25 import ENDS, KIND, ROWS, SCORES
from pipeline.search.index.parts import open_part
from pipeline.search.index.sorted_strings import SortedStrings
from pipeline.search.index.term_counts import TERMS

NAMES = {SCORES: "data.csc.index.npy", ROWS: "indices.csc.index.npy", ENDS: "indptr.csc.index.npy"}


def write_bare_index(index: Path, folder: Path) -> None:
    """Write what `bm25s.BM25.load` reads."""
    about = open_part(index / KIND, KIND)
    folder.mkdir()
    for ours, theirs in NAMES.items():
        shutil.copyfile(index / KIND / ours, folder / theirs)
    terms = SortedStrings(index / KIND / TERMS)
    vocabulary = {term.decode(): number for number, term in enumerate(terms)}
    (folder / "vocab.index.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    model = bm25s.BM25(k1=about["k1"], b=about["b"], method="lucene")
    said = {"k1": model.k1, "b": model.b, "delta": model.delta, "method": "lucene", "idf_method": "lucene"}
    said |= {"dtype": "float32", "int_dtype": "int32", "num_docs": about["passages"], "backend": model.backend}
    (folder / "params.index.json").write_text(json.dumps({**said, "version": bm25s.__version__}))
