"""Near-duplicate passages: signatures, the search over all shards, and what is dropped."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from datasketch import MinHash

from pipeline.errors import StorageError
from pipeline.passages.duplicates import HEADS, find_duplicates, read_duplicates
from pipeline.passages.signatures import PERMUTATIONS, choose_band_rows, hash_shingles, sign_texts
from pipeline.passages.stages import DeduplicateStage
from pipeline.storage.shards import ShardWriter
from schemas.passages import Chunk, Passage
from schemas.record import content_id

THRESHOLD = 0.8


def make_chunks(texts: Sequence[str]) -> list[Chunk]:
    """One chunk a text, on pages numbered in the order given."""
    return [
        make_chunk(page, text, digest.digest, digest.bands)
        for page, (text, digest) in enumerate(zip(texts, sign_texts(texts, THRESHOLD), strict=True))
    ]


def make_chunk(page: int, text: str, signature: str, bands: tuple[int, ...]) -> Chunk:
    passage = Passage(
        passage_id=content_id(page, text),
        document_id=content_id(page),
        page_id=page,
        lang="en",
        title=f"Page {page}",
        section=(),
        text=text,
        start=0,
        end=len(text),
        tokens=9,
        links=(),
    )
    return Chunk(passage_id=passage.passage_id, passage=passage, signature=signature, bands=bands)


def find_all(folder: Path, shards: Sequence[Sequence[Chunk]]) -> dict[str, dict[str, tuple[str, float]]]:
    """Duplicates by shard name, as `{passage: (duplicate_of, similarity)}`."""
    folder.mkdir()
    files = []
    for number, chunks in enumerate(shards):
        with ShardWriter(folder, f"part-{number:05d}.parquet", Chunk, {}) as writer:
            for chunk in chunks:
                writer.append(chunk.model_dump(mode="json"))
            writer.close()
        files.append(writer.path)
    scratch = folder / "scratch"
    scratch.mkdir()
    target = folder / "duplicates.parquet"
    total = find_duplicates(files, THRESHOLD, target, scratch)
    assert not list(scratch.iterdir())
    found = {
        f.name: {k: (d.duplicate_of, d.similarity) for k, d in read_duplicates(target, f.name).items()} for f in files
    }
    assert sum(map(len, found.values())) == total
    return found


def measure_jaccard(left: set[int], right: set[int]) -> float:
    """Exact Jaccard similarity."""
    return len(left & right) / len(left | right)


def invent_texts(count: int, seed: int, joiner: str = " ") -> list[str]:
    """Texts of 60 random words, a third of them an earlier text with one to three words changed."""
    rng = random.Random(seed)
    words = [f"w{n}" for n in range(4000)] if joiner else [chr(0x4E00 + n) for n in range(4000)]
    made: list[list[str]] = []
    for _ in range(count):
        if made and rng.random() < 0.35:
            text = list(rng.choice(made))
            for _ in range(rng.randint(0, 3)):
                text[rng.randrange(len(text))] = rng.choice(words)
        else:
            text = rng.choices(words, k=60)
        made.append(text)
    return [joiner.join(text) for text in made]


@pytest.mark.parametrize("joiner", [" ", ""])
def test_found_are_those_a_brute_force_finds(tmp_path: Path, joiner: str) -> None:
    texts = invent_texts(300, seed=1, joiner=joiner)
    chunks = make_chunks(texts)
    (found,) = find_all(tmp_path / "run", [chunks]).values()
    runs = [set(hash_shingles(text)) for text in texts]
    for later, chunk in enumerate(chunks):
        exact = [measure_jaccard(runs[earlier], runs[later]) for earlier in range(later)]
        best = max(exact, default=0.0)
        if best >= THRESHOLD + 0.1:  # the estimate is good to about 0.04; between the two it may go either way
            assert chunk.key in found
        if best <= THRESHOLD - 0.15:
            assert chunk.key not in found
        if chunk.key in found:
            earlier = [c.key for c in chunks].index(found[chunk.key][0])
            assert found[chunk.key][1] == pytest.approx(exact[earlier], abs=0.15)


def test_the_earliest_page_is_kept_whatever_the_layout(tmp_path: Path) -> None:
    chunks = make_chunks(invent_texts(200, seed=2))
    (reference,) = find_all(tmp_path / "one", [chunks]).values()
    pages = {chunk.key: chunk.passage.page_id for chunk in chunks}
    assert reference
    assert all(pages[kept] < pages[dropped] for dropped, (kept, _) in reference.items())
    shuffled = random.Random(3).sample(chunks, len(chunks))
    for name, shards in (
        ("cut", [chunks[:50], chunks[50:]]),
        ("mixed", [shuffled[:20], shuffled[20:120], shuffled[120:]]),
    ):
        merged = {k: v for part in find_all(tmp_path / name, shards).values() for k, v in part.items()}
        assert merged == reference


def test_the_same_passage_in_two_shards_is_kept_once(tmp_path: Path) -> None:
    chunks = make_chunks(invent_texts(3, seed=4))
    found = find_all(tmp_path / "run", [chunks, chunks[:1]])
    assert chunks[0].key not in found["part-00000.parquet"]
    assert found["part-00001.parquet"] == {chunks[0].key: (chunks[0].key, 1.0)}


def test_a_band_that_very_many_share_is_searched_in_bounded_time(tmp_path: Path) -> None:
    texts = [f"{' '.join(f'w{n}' for n in range(60))} x{k}" for k in range(3 * HEADS)]
    (found,) = find_all(tmp_path / "run", [make_chunks([*texts, *texts])]).values()
    assert len(found) == 2 * len(texts) - 1


def test_no_shards_and_empty_shards_have_no_duplicates(tmp_path: Path) -> None:
    assert find_all(tmp_path / "none", []) == {}
    assert find_all(tmp_path / "empty", [[]]) == {"part-00000.parquet": {}}


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot look for duplicates"):
        find_duplicates([], THRESHOLD, tmp_path / "out.parquet", tmp_path / "absent")


def test_signatures_are_those_of_datasketch_and_never_change() -> None:
    text = "The quick brown fox jumps over the lazy dog near the river bank"
    plain = MinHash(num_perm=PERMUTATIONS, scheme="affine32", hashfunc=int)
    for value in hash_shingles(text):
        plain.update(value)
    (signed,) = sign_texts([text], THRESHOLD)
    assert signed.digest == bytes(int(v) & 0xFF for v in plain.hashvalues).hex()
    assert (signed.digest[:16], signed.bands[0]) == ("5b40fb30ebcfc909", 751138102977361750)
    assert sign_texts(["other", text], THRESHOLD)[1] == signed
    assert sign_texts([text.upper()], THRESHOLD) == [signed]
    assert hash_shingles("short text") != hash_shingles("other text")


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_let_pairs_at_the_threshold_meet(threshold: float) -> None:
    rows = choose_band_rows(threshold)
    assert 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= 0.99


def test_a_dropped_passage_is_a_reject_that_names_the_kept_one(tmp_path: Path) -> None:
    text = invent_texts(1, seed=5)[0]
    chunks = make_chunks([text, text])
    find_all(tmp_path / "run", [chunks])
    duplicates = read_duplicates(tmp_path / "run" / "duplicates.parquet", "part-00000.parquet")
    kept, dropped = DeduplicateStage(duplicates).run(chunks)
    assert kept.rows == (chunks[0].passage,)
    assert [(r.reason, r.input_id) for r in dropped.rows] == [("near_duplicate", chunks[1].key)]  # type: ignore[attr-defined] # Reject
    assert chunks[0].key in str(dropped.rows[0])
    assert (kept.funnel[0] + dropped.funnel[0]).rejected == {"near_duplicate": 1}
