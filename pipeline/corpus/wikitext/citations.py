"""Templates that cite a source inside a sentence."""

from __future__ import annotations

from pipeline.corpus.wikitext.template_calls import TemplateCall


def show_verse(call: TemplateCall) -> str | None:
    """{{bibleverse|1|Samuel|3:4}}: book and verse; {{bibleverse-nb}} shows the verse alone."""
    parts = call.args[2:3] if call.name == "bibleverse-nb" else call.args[:3]
    return " ".join(arg for arg in parts if arg) or None


def show_short_citation(call: TemplateCall) -> str | None:
    """{{harvtxt|Smith|2000|p=5}}: "Smith (2000, p. 5)", a part of the sentence; {{harvnb}} needs no brackets."""
    *authors, year = [arg for arg in call.args if arg] or [""]
    if not authors:
        return None
    if len(authors) > 3:
        names = f"{authors[0]} et al."
    else:
        names = " & ".join([", ".join(authors[:-1]), authors[-1]] if len(authors) > 1 else authors)
    page, pages = call.first("p"), call.first("pp")
    place = f"p. {page}" if page else f"pp. {pages}" if pages else call.first("loc")
    when = f"{year}, {place}" if place else year
    return f"{names} {when}" if call.name == "harvnb" else f"{names} ({when})"
