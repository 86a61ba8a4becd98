"""MinHash signatures of passages (Broder 1997), as in datasketch, and the bands that bring similar passages together.

A passage is the set of its runs of five tokens; tokens are words, or characters in scripts without spaces, so that one
rule serves every language. The signature keeps the lowest eight bits of each of 128 minima (b-bit minwise hashing, Li
and König 2010), which is enough to estimate the Jaccard similarity of two passages to about 0.04.

Guarantees: the same text gives the same signature on every machine and in every process.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from datasketch import MinHash

from pipeline.passages.counting import TOKEN

PERMUTATIONS = 128
SHINGLE = 5
RECALL = 0.99  # chance that two passages exactly at the threshold share a band
MIXER = np.uint64(0x9E3779B97F4A7C15)  # odd, bits well spread: the usual multiplier for folding hashes

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Signature:
    """Signature of a passage, to find its near-duplicates."""

    digest: str
    """128 bytes in hexadecimal: the lowest byte of each minimum."""
    bands: tuple[int, ...]
    """One hash per band: passages that share any are candidates."""


def choose_band_rows(threshold: float) -> int:
    """Return the minima per band: the most with which a pair at the threshold still meets with probability `RECALL`.

    A pair of similarity s meets in one of b bands of r rows with probability 1 - (1 - s^r)^b.
    """
    fitting = [r for r in range(1, 17) if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= RECALL]
    return max(fitting, default=1)


def sign_texts(texts: Iterable[str], threshold: float) -> list[Signature]:
    """Return the signatures of texts, banded for a similarity threshold."""
    minima = [_find_minima(text) for text in texts]
    if not minima:
        return []
    table = np.stack(minima)
    digests = [row.tobytes().hex() for row in (table & 0xFF).astype(np.uint8)]
    bands = _hash_bands(table.astype(np.uint64), choose_band_rows(threshold))
    return [Signature(digest, tuple(row)) for digest, row in zip(digests, bands.view(np.int64).tolist(), strict=True)]


def hash_shingles(text: str) -> list[int]:
    """Return a 32-bit hash of each run of five tokens; a shorter text is one run."""
    tokens = TOKEN.findall(text.casefold())
    words = np.array([zlib.crc32(token.encode("utf-8", "surrogatepass")) for token in tokens], np.uint64)
    width = min(SHINGLE, len(tokens))
    runs = len(tokens) - width + 1
    folded = np.zeros(runs, np.uint64)
    for place in range(width):
        folded = _fold(folded, words[place : place + runs])
    hashes: list[int] = (folded >> np.uint64(32)).tolist()
    return hashes


@cache
def _blank() -> MinHash:
    return MinHash(num_perm=PERMUTATIONS, scheme="affine32", hashfunc=int)  # the values are hashes already


def _find_minima(text: str) -> npt.NDArray[np.uint32]:
    minhash = _blank().copy()  # drawing the permutations again for each text would take longer than using them
    minhash.update_batch(hash_shingles(text))
    minima: npt.NDArray[np.uint32] = minhash.hashvalues
    return minima


def _hash_bands(table: Words, rows: int) -> Words:
    """Hash each band of a table (passages, minima) into 64 bits, including the band's number."""
    count = PERMUTATIONS // rows
    banded = table[:, : count * rows].reshape(len(table), count, rows)
    folded = np.broadcast_to(np.arange(count, dtype=np.uint64), banded.shape[:2])
    for place in range(rows):
        folded = _fold(folded, banded[:, :, place])
    return folded


def _fold(left: Words, right: Words) -> Words:
    mixed = (left ^ (left >> np.uint64(29)) ^ right) * MIXER
    return mixed ^ (mixed >> np.uint64(32))
