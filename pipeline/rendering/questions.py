"""Prompt of a solver: the instructions of its format, and the question."""

from __future__ import annotations

import json
from typing import Any

from prompts.library import Block, load_template, load_words
from schemas.renderings import RenderedQuestion

SEARCH_TOOL = "search"


def write_instruction(template: str, question: RenderedQuestion, **options: Any) -> str:
    """Write the instructions of a format for a question; `boxed` (bool) and `results` (a tag) where the template has
    them.
    """
    words = load_words("solve_words", question.lang)
    fields: dict[str, str | Block] = {"form": Block(write_form(question))}
    if "results" in options:
        fields["results"] = options["results"]
        fields["boxed"] = Block(words["boxed"] if options["boxed"] else "")
    return load_template(template, question.lang).fill(0, **fields)


def write_form(question: RenderedQuestion) -> str:
    """Write what form the answer is to have."""
    return load_words("solve_words", question.lang)["one" if question.answers == 1 else "many"]


def write_question(question: RenderedQuestion) -> str:
    """Write the question, inert."""
    return load_template(f"ask_{question.kind}", question.lang).fill(text=question.text)


def describe_tool(lang: str, argument: str) -> str:
    """Return the schema of the search tool as a JSON array of one, in the OpenAI format."""
    words = load_words("solve_words", lang)
    queries = {"type": "array", "items": {"type": "string"}, "description": words["queries"]}
    parameters = {"type": "object", "properties": {argument: queries}, "required": [argument]}
    function = {"name": SEARCH_TOOL, "description": words["search"], "parameters": parameters}
    return json.dumps([{"type": "function", "function": function}], ensure_ascii=False)
