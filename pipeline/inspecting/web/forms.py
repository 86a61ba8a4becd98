"""Values that a browser sends: query strings and forms of bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qs

from fastapi import Request
from pydantic import BaseModel, ValidationError

from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.web.rendering import pick

Values = TypeVar("Values", bound=BaseModel)

MAX_BYTES = 32_000


def read_query(model: type[Values], values: Mapping[str, str], what: str) -> Values:
    """The values of a query string; empty ones are left out. Raises InspectError, which calls them `what`."""
    try:
        return model.model_validate(pick(values))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise InspectError(f"the {what}'s {where} cannot be used: {fault['msg']}", "choose another value") from None


async def read_form(request: Request, fix: str) -> dict[str, str]:
    """The first value of each field of a form. Raises InspectError for a form of too many bytes; `fix`: its advice."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise InspectError("the form is too long", fix)
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
