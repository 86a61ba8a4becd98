"""Templates that show nothing inside the running text: references, maintenance tags, hatnotes, boxes beside the text.

The names are data, in `invisible_templates.txt`; whole families of names are told by a pattern.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files

FAMILY = re.compile(
    r"(?:infobox|taxobox|speciesbox|geobox|drugbox|chembox|navbox|sidebar|campaignbox|portal|sister|commons|cleanup|"
    r"toc|pp-|db-|use .+ (?:dates|english|spelling)|contains .+ text|r (?:from|to|with|un)|s-(?:bef|aft|ttl|start|end)|"
    r"wiki(?:quote|source|books|news|versity|voyage|species|media)\b|image |refbegin|refend|defaultsort|displaytitle|"
    r"#tag:ref|catau|noteta)"
    r"|.*(?:stub|box|sidebars?|-inline|topics|series|needed|icon|category|小作品|模板|导航|導航|信息框|資訊框)$"
)


@lru_cache(maxsize=8192)
def is_invisible(name: str) -> bool:
    """Whether a template (named in lower case) shows nothing inside the running text."""
    return name in _names() or FAMILY.match(name) is not None


@cache
def _names() -> frozenset[str]:
    lines = files(__package__).joinpath("invisible_templates.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
