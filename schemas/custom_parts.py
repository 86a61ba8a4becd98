"""Parts of a run that the user supplies: functions, and prompt templates."""

from __future__ import annotations

from pydantic import Field

from schemas.record import Frozen

COMPONENT = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"
"""Pattern of a function of the user: MODULE:FUNCTION."""


class PromptsConfig(Frozen):
    """Prompt templates."""

    folder: str | None = Field(default=None, min_length=1)
    """Folder of templates that replace those of rampforge with the same file name, such as `plan.en.md`; each must use
    the same fields. Null: none are replaced."""
