"""A small town to ask about: passages, questions, and a model that reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOWNS = 12
NAMES = ("Abbey", "Birch", "Cedar", "Dover", "Ember", "Fjord", "Gable", "Haven", "Inlet", "Jetty", "Knoll", "Ledge")
MAYORS = ("Nils Lund", "Ida Brandt", "Jon Vale", "Mara Quist")


def write_corpus(folder: Path, towns: int = TOWNS) -> Path:
    """A passage for each town that tells its mayor and river."""
    rows = [
        {
            "id": f"p{n}",
            "title": f"Tarn {name_town(n)}",
            "text": f"Tarn {name_town(n)} is a town on the river Oste. Its mayor is {name_mayor(n)} since {1900 + n}.",
        }
        for n in range(towns)
    ]
    path = folder / "corpus.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def write_questions(folder: Path, towns: int = TOWNS) -> Path:
    """A question for each town, and a row that is none."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"q{n}",
            "dataset": "even" if n % 2 == 0 else "odd",
            "question": f"Who is the mayor of Tarn {name_town(n)}?",
            "answers": [name_mayor(n)],
            "supporting_ids": [f"p{n}"],
            "supporting_titles": [f"Tarn {name_town(n)}"],
        }
        for n in range(towns)
    ]
    rows.append({"id": "q-none", "question": "Who is the mayor of nowhere?", "answers": []})
    path = folder / "towns.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def name_town(number: int) -> str:
    """A rare word for each town."""
    return NAMES[number % len(NAMES)] + "x" * (number // len(NAMES))


def name_mayor(number: int) -> str:
    """Mayors repeat."""
    return MAYORS[number % len(MAYORS)]


MAYOR = re.compile(r"Tarn (\w+) is a town on the river Oste\. Its mayor is (\w+ \w+)")


def read_town(body: dict[str, Any]) -> tuple[str, str | None]:
    """The town that a prompt asks about, and its mayor where a passage in it says so."""
    prompt = str(body["messages"][-1]["content"])
    asked = re.search(r"mayor of Tarn (\w+)", prompt)
    town = asked[1] if asked else ""
    return town, dict(MAYOR.findall(prompt)).get(town)


def answer_roles(body: dict[str, Any]) -> dict[str, Any]:
    """Plays every role of an evaluation by reading the passages that it is shown."""
    required = body["response_format"]["json_schema"]["schema"]["required"]
    town, mayor = read_town(body)
    replies: dict[str, Callable[[], dict[str, Any]]] = {
        "queries": lambda: {"queries": [f"Tarn {town}", f"mayor Tarn {town}", f"{town} town mayor"]},
        "conclusion": lambda: {
            "conclusion": f"Its mayor is {mayor}.",
            "answers": [{"mask": 1, "answer": mayor, "passage": 1}],
            "next": "answer" if mayor else "search_on",
            "closing": "Read there.",
        },
        "think": lambda: {"think": f"Find the mayor of Tarn {town}.", "mask": 1, "give_up": False},
        "verdict": lambda: {"reason": "They are equal.", "verdict": "correct"},
        "answer": lambda: {"reason": "It says so.", "answer": mayor},
    }
    (reply,) = [
        make() for key, make in replies.items() if key in required and (key != "answer" or "reason" in required)
    ]
    return {"content": json.dumps(reply)}
