"""A question as a sentence with a gap, for agents that fill gaps: the gap stands where the question word stood."""

from __future__ import annotations

import re

from schemas.tasks import MASK

_ASKING = {
    "en": re.compile(
        r"\b(?:who|whom|whose|what|which|where|when|how (?:many|much|old|long|far|often|tall|high)|how)\b"
        r"(?:\s+(?:is|was|are|were|did|does|do|has|had|have)\b)?",
        re.IGNORECASE,
    ),
    "zh": re.compile(r"谁|什么|什麼|甚麼|哪[里裡儿兒个個位年些]?|多少|几|幾|为何|為何|何[时時地人种種]?"),
}
_END = re.compile(r"[?？。.\s]+$")


def put_gap(question: str, lang: str) -> str:
    """The question with `MASK` in place of its first question word (and the auxiliary after it), else at its end."""
    plain = question.replace(MASK, "(mask)")
    code = lang.split("-")[0]
    stop = "。" if code == "zh" else "."
    found = _ASKING.get(code, _ASKING["en"]).search(plain)
    if found is None:
        return f"{plain} {MASK}"
    text = plain[: found.start()] + MASK + plain[found.end() :]
    return _END.sub("", text) + stop
