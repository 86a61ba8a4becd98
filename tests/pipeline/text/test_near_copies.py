"""Near copies: what shares a run of words with a text, in both scripts, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.near_copies import COPIED_WORDS, is_copy

words = st.lists(st.sampled_from("abcdefgh"), max_size=40)


@given(words, words)
def test_copies_share_a_run(one: list[str], other: list[str]) -> None:
    runs = [one[i : i + COPIED_WORDS] for i in range(len(one) - COPIED_WORDS + 1)]
    holding = any(other[i : i + COPIED_WORDS] in runs for i in range(len(other) - COPIED_WORDS + 1))
    assert is_copy(" ".join(one), ", ".join(other).upper()) is holding


@pytest.mark.parametrize(("characters", "copied"), [(2 * COPIED_WORDS, True), (2 * COPIED_WORDS - 1, False)])
def test_chinese_runs_are_of_characters(characters: int, copied: bool) -> None:
    run = "".join(chr(0x4E00 + i) for i in range(characters))
    assert is_copy(f"山城{run}。", f"老桥，{run}工程师") is copied
