"""Facts of rampforge's own export in a row of ATIF, `extra.rampforge`: the task with its gold, and the attempt."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.importing.errors import RowError
from schemas.config import LANG
from schemas.renderings import QuestionKind
from schemas.tasks import SpanKind
from schemas.trajectories import HideMode

BAD_FACTS = "bad_facts"
_Difficulty = Annotated[float, Field(strict=True)] | None
_Forms = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
_INT64 = 1 << 63
_Lang = Annotated[str, Field(pattern=LANG)]


class ExportedFacts(BaseModel):
    """What `pipeline.exporting.formats.atif` writes of a trajectory beside its steps; further keys are ignored."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    kind: QuestionKind
    question: str
    golds: Annotated[tuple[_Forms, ...], Field(min_length=1)]
    mask_kinds: tuple[SpanKind, ...]
    difficulties: tuple[_Difficulty, ...]
    title: str
    page_id: Annotated[int, Field(strict=True, ge=-_INT64, lt=_INT64)]
    task_id: str
    passage_id: str
    document_id: str
    lang: _Lang
    difficulty: _Difficulty
    id: str = ""
    policy: str = ""
    hide: HideMode = HideMode.NONE
    shown: tuple[tuple[str, ...], ...] = ()


def read_facts(value: object) -> ExportedFacts:
    """Return the facts of a row. Raises RowError with the first that is missing or of another type."""
    try:
        facts = ExportedFacts.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RowError(
            BAD_FACTS, ".".join(map(str, ("extra.rampforge", *first["loc"]))) + f": {first['msg']}"
        ) from None
    if not len(facts.golds) == len(facts.mask_kinds) == len(facts.difficulties):
        raise RowError(BAD_FACTS, "extra.rampforge: golds, mask_kinds and difficulties are of several lengths")
    return facts
