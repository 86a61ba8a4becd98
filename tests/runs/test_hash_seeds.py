"""Python's order of sets differs from process to process; what the extractive agents weigh must not.

A sum taken in another order differs in its last bit, and of two answers that fit alike the other one is told.
"""

from __future__ import annotations

import os
import subprocess
import sys

MEASURE = """
from pipeline.agents.extractive.candidates import find_candidates
from pipeline.agents.extractive.answer_places import gather_places
from pipeline.agents.extractive.labels import load_labels
from pipeline.agents.extractive.scoring import measure_places
from pipeline.agents.extractive.features import PassageFeatures, mask_views
from pipeline.agents.extractive.words import make_word_cutter

things = "stone river tower bridge harbour market castle valley forest meadow island garden temple palace".split()
hidden = f"The {' '.join(things[:7])} of [mask] and {' '.join(things[7:])} were built in 1821."
shown = f"The {' '.join(things[:9])} of Harl and {' '.join(things[4:])} in Merton were built in 1822."
cut = make_word_cutter("en")
(view,) = mask_views(hidden, cut, "Town", lambda term: 1.0 + sum(map(ord, term)) / 997)
source = PassageFeatures("p", "Other", cut(shown), tuple(find_candidates(shown, "en")), frozenset())
values = measure_places(view, gather_places(view, [source], "Town"), [], load_labels("en"), "Town")
assert len(values)
print(values.tobytes().hex())
"""


def measure(seed: int) -> str:
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    done = subprocess.run([sys.executable, "-c", MEASURE], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_mask_weighs_the_same_in_every_process() -> None:
    assert len({measure(seed) for seed in range(1, 7)}) == 1
