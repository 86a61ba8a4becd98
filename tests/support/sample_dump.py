"""Writes small MediaWiki dumps of invented towns: real markup, facts that stand on several pages, no real text."""

from __future__ import annotations

import bz2
import random
from pathlib import Path
from xml.sax.saxutils import escape

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="en">
<siteinfo><sitename>Wikipedia</sitename><dbname>enwiki</dbname><namespaces>
<namespace key="0" case="first-letter" /><namespace key="4" case="first-letter">Wikipedia</namespace>
<namespace key="14" case="first-letter">Category</namespace></namespaces></siteinfo>
"""
SYLLABLES = ("bar", "cor", "den", "fal", "gor", "hol", "kes", "lun", "mer", "nor", "pel", "ros", "sil", "tor", "vel")
TRADES = ("wool", "salt", "iron", "glass", "copper", "barley", "slate", "silk")


def make_name(rng: random.Random, ending: str) -> str:
    return ("".join(rng.choices(SYLLABLES, k=2)) + ending).capitalize()


def make_article(rng: random.Random, town: str, river: str, neighbour: str) -> str:
    founder = f"{make_name(rng, 'a')} {make_name(rng, 'son')}"
    founded, bridge = rng.randrange(1100, 1600), rng.randrange(1700, 1900)
    trade, people = rng.choice(TRADES), rng.randrange(2_000, 90_000)
    return f"""'''{town}''' is a market town on the [[{river}|River {river}]] in the [[Upper Vale]].
It was founded in {founded} by [[{founder}]], who came from [[{neighbour}]] with forty families.<ref>Gazetteer.</ref>
The town lies {{{{convert|{rng.randrange(5, 60)}|km|mi}}}} north of [[{neighbour}]].
In 1931 it had {people:,} inhabitants.

== History ==
Trade in {trade} made the town rich, and in {bridge} the merchants paid for a stone bridge over the {river}.
The bridge was designed by {make_name(rng, "o")} {make_name(rng, "i")}, an engineer from {make_name(rng, "ia")}.
A fire on {rng.randrange(1, 28)} May {bridge + 31} destroyed the old market hall, which had stood since {founded + 90}.

== Economy ==
* The {trade} mill employs about {rng.randrange(100, 900)} people.
* A railway reached the town in {bridge + 52}.

The annual {trade} fair is held every September and draws visitors from all over the [[Upper Vale]].

[[Category:Towns of the Upper Vale]]
"""


def make_river(rng: random.Random, river: str, towns: list[str]) -> str:
    return f"""The '''{river}''' is a river of the [[Upper Vale]], {rng.randrange(40, 300)} km long.
It rises on Mount {make_name(rng, "or")} at {rng.randrange(600, 2400)} m and flows south for most of its course.
Along its banks lie the towns of {", ".join(f"[[{town}]]" for town in towns)}, all of which grew with the river trade.
Floods in {rng.randrange(1700, 1950)} carried away most of the wooden bridges and drowned a great number of cattle.
"""


def write_dump(path: Path, towns: int, seed: int = 0) -> Path:
    """Write a bz2 dump with `towns` town pages, a river page for every five, and a redirect for each town."""
    rng = random.Random(seed)
    names = sorted({make_name(rng, "ton") for _ in range(towns * 3)})[:towns]
    pages: list[str] = []

    def add(title: str, text: str, redirect: str = "") -> None:
        number = len(pages) + 1
        tag = f'<redirect title="{escape(redirect)}" />' if redirect else ""
        pages.append(
            f"<page><title>{escape(title)}</title><ns>0</ns><id>{number}</id>{tag}<revision><id>{number + 9000}</id>"
            f"<timestamp>2020-01-01T00:00:00Z</timestamp><contributor><username>A</username><id>1</id></contributor>"
            f'<model>wikitext</model><format>text/x-wiki</format><text xml:space="preserve">{escape(text)}</text>'
            f"<sha1>x</sha1></revision></page>\n"
        )

    for start in range(0, len(names), 5):
        group = names[start : start + 5]
        river = make_name(rng, "e")
        add(river, make_river(rng, river, group))
        for place, town in enumerate(group):
            add(town, make_article(rng, town, river, group[place - 1]))
            add(f"{town} (town)", f"#REDIRECT [[{town}]]", redirect=town)
    path.write_bytes(bz2.compress((HEAD + "".join(pages) + "</mediawiki>\n").encode()))
    return path
