"""Constants of the scoring, fitted offline.

FILL
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from pipeline.agents.candidates import Kind
from pipeline.agents.scoring import FEATURES, KindTable

WEIGHT_OF: dict[str, float] = {
    "near": 1.56,
    "wide": -0.17,
    "side": 1.21,
    "sentence": 0.43,
    "passage": 0.74,
    "left_one": 1.73,
    "left_two": 1.42,
    "right_one": 1.55,
    "right_two": 0.31,
    "left_order": 1.46,
    "right_order": 0.53,
    "same_title": 1.10,
    "title_named": 1.00,
    "names_title": 0.57,
    "is_title": 0.43,
    "is_anchor": 0.00,
    "rank": 0.83,
    "rarity": -1.83,
    "length": -1.98,
    "kind_left": 0.36,
    "kind_right": 0.48,
    "both_sides": -1.02,
    "rare_shared": 1.15,
    "is_gap": -0.47,
    "is_year": 0.53,
    "is_date": -0.83,
    "is_period": -0.47,
    "is_number": -0.43,
    "is_amount": -0.97,
    "is_count": 0.99,
    "is_ordinal": 0.77,
    "is_name": 1.37,
    "is_part": -0.50,
    "is_term": -0.47,
}
BIAS = -6.83
WEIGHTS = np.array([WEIGHT_OF[name] for name in FEATURES])


def _load_kinds() -> KindTable:
    rows = yaml.safe_load((Path(__file__).parent / "kinds.yaml").read_text(encoding="utf-8"))
    left, right = ({str(w): {Kind(k): v for k, v in row.items()} for w, row in rows[side].items()} for side in ("left", "right"))
    return KindTable(left, right)


KINDS = _load_kinds()
