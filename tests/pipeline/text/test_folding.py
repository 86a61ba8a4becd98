"""Accents and Unicode forms: texts and queries match in every spelling."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.search.bm25 import Bm25Engine, build_index
from pipeline.search.engine import SearchRequest
from pipeline.search.tokens import make_tokenizer
from pipeline.text.folding import fold
from schemas.search_config import SearchConfig
from tests.support.passage_samples import make_passage, write_shards

TITLES = (
    "Antonín Dvořák",
    "Prague Fair",
    "Bjo\u0308rk",
    "Łódź",
    "Malmö fullwidth Ｔｏｋｙｏ",
    "Iğdır",
    "Straße",
    "Ærø",
)
FOLDED = {
    "Dvořák": "dvorak", "Dvor\u030ca\u0301k": "dvorak", "ßtraße": "sstrasse", "Æsir": "aesir", "Øresund": "oresund",
    "Ilgaz ılgaz İlgaz": "ilgaz ilgaz ilgaz", "Ｔｏｋｙｏ１２": "tokyo12", "Łódź": "lodz", "Þór": "thor",
    "Đà Nẵng": "da nang", "ﬁne": "fine", "km²": "km2", "Hawaiʻi": "hawaii",
    "co\u00adoperate": "cooperate", "Ёлка": "елка", "ΆΛΦΑ": "αλφα",
    "العَرَبِيَّة": "العربية", "हिन्दी": "हिन्दी", "ガギ": "ガギ", "ｶﾞｷﾞ": "ガギ", "한국어": "한국어", "北京大学": "北京大学",
}  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Bm25Engine:
    return build(tmp_path_factory.mktemp("folding"))


def build(folder: Path) -> Bm25Engine:
    passages = [make_passage(i, f"{title} by the river in 1841", i, title=title) for i, title in enumerate(TITLES)]
    build_index(write_shards(folder, passages), folder / "index", SearchConfig(), "en")
    return Bm25Engine(folder / "index")


def find_titles(engine: Bm25Engine, query: str) -> list[str]:
    (call,) = engine.search([SearchRequest(query)], 3)
    return [passage.title for passage in engine.read([hit.passage_id for hit in call.hits])]


@pytest.mark.parametrize(("text", "folded"), FOLDED.items())
def test_what_a_text_is_folded_to(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_folding_is_the_same_for_every_form_and_settles_at_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert {fold(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")} == {fold(text)}


@given(st.text(), st.sampled_from(["en", "fr", "zh"]))
def test_terms_are_the_same_for_every_form(text: str, lang: str) -> None:
    tokenize = make_tokenizer(lang)
    terms = tokenize(text)
    assert "" not in terms
    assert tokenize(unicodedata.normalize("NFC", text)) == terms
    if lang != "zh":
        assert tokenize(unicodedata.normalize("NFD", text)) == terms


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("Dvorak", TITLES[0]), ("Dvořák", TITLES[0]), ("DVOR\u030cA\u0301K", TITLES[0]), ("bjork", TITLES[2]),
        ("Björk", TITLES[2]), ("lodz", TITLES[3]), ("tokyo", TITLES[4]), ("ｍａｌｍｏ", TITLES[4]),
        ("igdir", TITLES[5]), ("strasse", TITLES[6]), ("aero", TITLES[7]),
    ],
)  # fmt: skip
def test_either_spelling_finds_the_page_first(engine: Bm25Engine, query: str, title: str) -> None:
    assert find_titles(engine, query)[:1] == [title]


def test_a_word_with_marks_is_one_term() -> None:
    assert make_tokenizer("en")("Bjo\u0308rk x\u030cy ❤\ufe0f हिन्दी") == ["bjork", "xy", "हिन्दी"]
    assert make_tokenizer("zh", "jieba")("Dvořák住在ＡＢＣ")[0] == "dvorak"
