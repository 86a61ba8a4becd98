"""Length of a text in tokens: the unit of every token budget, and of the shingles for near-duplicates.

A token is a word (a run of letters, digits and underscores) or, in scripts written without spaces, a character. It
needs no model, so that a budget is the same for every tokenizer.
"""

from __future__ import annotations

import re

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Han
)
"""Characters of scripts without spaces, as the inside of a regular expression's class."""

TOKEN = re.compile(f"[^\\W{UNSPACED}]+|(?=\\w)[{UNSPACED}]")


def count_tokens(text: str) -> int:
    """Return the number of words and of characters of scripts without spaces."""
    return len(TOKEN.findall(text))
