"""Weights of the scoring, by feature, fitted offline.

Method: every name, date and number that may be hidden in the pages with an even id of the sample dump was masked by
itself (12,300 tasks, by the span stage of this project without its language model), each task was searched once with
its source hidden and 3 passages shown, and the 2,500 whose answer was shown were fitted on. The weights maximise the
likelihood of the correct text under `share_belief` where it was among the places, by L-BFGS with an L2 penalty of 2 on
standardised features; the bias calibrates the null. `trees.en.json` (see `ranking`) was boosted on the same tasks with
LightGBM under the same likelihood. `labels.en.json` is fitted on the labels that en_core_web_sm gives in the same pages
and in the paragraphs of HotpotQA, MuSiQue and 2WikiMultihopQA. Pages with an odd id were used for none of them.
"""

from __future__ import annotations

import numpy as np

OF_PLACE = {
    "near": -2.74, "near_raw": 1.69, "wide_raw": 0.47, "rare_shared": 0.39, "left_two": 0.98, "right_two": -0.19,
    "left_one": 0.30, "marked_before": 0.29, "marked_after": 0.35, "sentence": -0.28, "in_sentence": 1.66,
    "in_text": 0.10, "shift": 0.03, "left_gap": -0.28, "right_gap": -0.32, "pairs": 0.14, "inside": -0.48,
    "holds": 0.07, "same_title": 0.44, "title_named": 1.31, "in_passage": 3.70,
}  # fmt: skip
"""Features of a place."""
OF_TEXT = {
    "elsewhere_left": 0.97, "elsewhere_right": 0.34, "run_left": -0.11, "run_right": 1.05, "best_near": 5.57,
    "best_sentence": 1.52, "opening": -1.48, "linked": 0.87, "on_page": 1.46, "rare_repeat": 0.57, "known": 0.43,
    "rarity": -1.52, "lower": -0.20, "words": -1.18, "chars": 0.24, "places": -0.53, "year_gap": -0.20, "label": 0.93,
    "listed": 0.34,
}  # fmt: skip
"""Features of a text, from all places where it occurs."""
OF_KIND = {
    "year": 1.70, "date": 0.38, "period": 0.64, "number": -0.58, "amount": -0.22, "count": -2.39, "ordinal": -2.81,
    "name": 0.62, "part": 0.06, "term": -2.26,
}  # fmt: skip
"""Indicators of the kind of a candidate, in the order of `CandidateKind`."""
WEIGHTS = np.array([*OF_PLACE.values(), *OF_TEXT.values(), *OF_KIND.values()])
BIAS = -8.96
