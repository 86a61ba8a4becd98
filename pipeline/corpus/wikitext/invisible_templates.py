"""Templates that show nothing in running text: references, maintenance tags, hatnotes, boxes beside the text.

The names are data, in `invisible_templates.txt`; whole families of names are matched by a pattern.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files

from pipeline.corpus.wikitext.template_calls import APART, SILENT, Rule, normalise_name

SILENT_FAMILY = re.compile(
    r"(?:infobox|taxobox|speciesbox|geobox|drugbox|chembox|navbox|sidebar|campaignbox|portal\b|sister|commons|cleanup|"
    r"toc\b|pp-|db-|use .+ (?:dates|english|spelling)|contains .+ text|r (?:from|to|with|un)|"
    r"s-(?:bef|aft|ttl|start|end)|wiki(?:quote|source|books|news|versity|voyage|species|media)\b|image |"
    r"refbegin|refend|defaultsort|"
    r"displaytitle|#tag:ref|catau|noteta)"
    r"|.*(?:infobox|taxobox|navbox|sidebars?|stub|-inline|小作品|信息框|資訊框)$"
)
# Most of these are boxes or tags; but {{color box|red|5 km}} shows its words.
APART_FAMILY = re.compile(r".*(?:box|topics|series|needed|icon|category|模板|导航|導航)$")


@lru_cache(maxsize=8192)
def find_invisible(name: str) -> Rule | None:
    """Return `SILENT` or `APART` for a template that shows nothing in running text; None for all others."""
    if rule := _names().get(name):
        return rule
    folded = name.lower()
    return SILENT if SILENT_FAMILY.match(folded) else APART if APART_FAMILY.match(folded) else None


@cache
def _names() -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    rule = SILENT
    for line in files(__package__).joinpath("invisible_templates.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            rule = APART if line.startswith("[apart]") else SILENT
        elif line and not line.startswith("#"):
            rules[normalise_name(line)] = rule
    return rules
