"""Options of a command that are fields of a model: derived from it, not written out again."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import typer
from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Body = TypeVar("Body", bound=Callable[..., Any])


def take_options(model: type[BaseModel], fields: Mapping[str, str], **defaults: Any) -> Callable[[Body], Body]:
    """Replace the `**options` of a command by an option for each of these fields of a model.

    Each has the type, bounds, default and description of its field. To be applied before `command`.

    Args:
        model: The model.
        fields: The field of each option, in order; a field of a section as `section.field`.
        defaults: Other defaults, by option.
    """

    def take(body: Body) -> Body:
        signature = inspect.signature(body, eval_str=True)
        *own, _ = signature.parameters.values()
        options = []
        for option, path in fields.items():
            field = _find_field(model, path)
            default = ... if field.is_required() else defaults.get(option, field.default)
            kind, info = inspect.Parameter.KEYWORD_ONLY, _describe(option, field, fields, default)
            options.append(inspect.Parameter(option, kind, default=info, annotation=field.annotation))
        taken: Any = body  # a function takes any attribute; its type does not say so
        taken.__signature__ = signature.replace(parameters=[*own, *options])
        return body

    return take


def nest_options(fields: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the options as those of the model, section by section."""
    values: dict[str, Any] = {}
    for option, path in fields.items():
        *sections, name = path.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = options[option]
    return values


def _find_field(model: type[BaseModel], path: str) -> FieldInfo:
    section, _, rest = path.partition(".")
    field = model.model_fields[section]
    if not rest:
        return field
    inner: Any = field.annotation
    return _find_field(inner, rest)


def _describe(option: str, field: FieldInfo, fields: Mapping[str, str], default: Any) -> Any:
    lowest: Any = next((bound.ge for bound in field.metadata if isinstance(bound, Ge)), None)
    highest: Any = next((bound.le for bound in field.metadata if isinstance(bound, Le)), None)
    text = " ".join((field.description or "").split()).replace("null:", "default:")
    text = re.sub(r"`(\w+)`", lambda name: _write_flag(name[1]) if name[1] in fields else name[0], text)
    flag = _write_flag(option)
    names: list[str] = []
    if field.annotation in (bool, bool | None):
        names = [flag if default is False else f"{flag}/--no{flag[1:]}"]
    return typer.Option(default, *names, min=lowest, max=highest, help=text)


def _write_flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"
