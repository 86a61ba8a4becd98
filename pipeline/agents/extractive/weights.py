"""Weights of the scoring, by feature, fitted offline.

Method: the 3,056 spans of the pages with an even id of the sample dump that have evidence with two clues in another
passage were masked, each by itself and some together, and searched for with the source hidden, in one to five steps.
Fitted on are the 3,229 masks whose answer was shown and 503 whose answer was not; those with three clues count one and
a half times. The weights maximise the likelihood under `share_belief` of the correct text, or of the null where it is
not among the places, by L-BFGS with an L2 penalty of 2 on standardised features. `trees.en.json` (see `ranking`) was
boosted on the same masks with LightGBM under the same likelihood, from the scores of weights fitted on other pages.
`labels.en.json` is fitted on the labels that en_core_web_sm gives in the same pages and in the paragraphs of HotpotQA,
MuSiQue and 2WikiMultihopQA. Pages with an odd id were used for none of them.
"""

from __future__ import annotations

import numpy as np

OF_PLACE = {
    "near": -1.26, "near_raw": 0.16, "wide_raw": 0.44, "rare_shared": 2.09, "left_two": 1.17, "right_two": -0.36,
    "left_one": 0.54, "marked_before": 0.30, "marked_after": 0.32, "sentence": -0.81, "in_sentence": 1.00,
    "in_text": 0.63, "shift": 0.14, "left_gap": -0.62, "right_gap": -0.59, "pairs": 0.10, "inside": -0.48,
    "holds": -0.10, "same_title": 0.60, "title_named": 1.02, "in_passage": -1.72, "order": -0.25, "clues": 0.18,
    "clues_titled": -0.12, "clued": 0.25, "same_side": 0.36, "right_one": 0.93, "article": 0.34, "clash": -1.22,
    "item": 0.18, "peers": -0.10,
}  # fmt: skip
"""Features of a place."""
OF_TEXT = {
    "elsewhere_left": 0.67, "elsewhere_right": -0.38, "run_left": -0.28, "run_right": 1.35, "best_near": 6.69,
    "best_sentence": 3.31, "opening": -0.89, "linked": 1.14, "on_page": 0.79, "rare_repeat": 0.65, "known": 0.54,
    "rarity": -0.37, "lower": -0.35, "words": -0.73, "chars": 0.09, "places": -0.25, "year_gap": -0.25, "label": 0.75,
    "listed": 0.32,
}  # fmt: skip
"""Features of a text, from all places where it occurs."""
OF_KIND = {
    "year": 2.23, "date": 0.79, "period": 0.96, "number": -0.05, "amount": -0.11, "count": -1.30, "ordinal": -3.06,
    "name": 0.86, "part": 0.89, "term": -1.66,
}  # fmt: skip
"""Indicators of the kind of a candidate, in the order of `CandidateKind`."""
WEIGHTS = np.array([*OF_PLACE.values(), *OF_TEXT.values(), *OF_KIND.values()])
BIAS = -7.01
