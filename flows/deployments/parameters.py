"""The parameters of deployed flows that are sections of the configuration: derived from it, not written out again."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from schemas.config import RunConfig
from schemas.record import Frozen

Body = TypeVar("Body", bound=Callable[..., Any])


def take_sections(*left_out: str) -> Callable[[Body], Body]:
    """Replace the `**sections` of a flow's function by a parameter for each section, but for those left out.

    Each has the name, type and default of the section, so that Prefect's form shows every key with its meaning and its
    bounds. To be applied before `flow`.
    """

    def take(body: Body) -> Body:
        signature = inspect.signature(body, eval_str=True)
        *own, _ = signature.parameters.values()
        named = {parameter.name for parameter in own}
        sections = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation)
            for name, field in RunConfig.model_fields.items()
            if isinstance(field.default, Frozen) and name not in (*left_out, *named)
        ]
        taken: Any = body  # a function takes any attribute; its type does not say so
        taken.__signature__ = signature.replace(parameters=[*own, *sections])
        return body

    return take
