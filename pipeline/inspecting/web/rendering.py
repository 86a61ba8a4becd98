"""Rendering of the pages from templates: all values are escaped, nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from fastapi.responses import HTMLResponse, Response

from pipeline.charts import layout
from pipeline.inspecting.text_tables import write_cell, write_json
from pipeline.report.page import open_environment
from pipeline.report.text_pieces import show_controls

KINDS = {"style.css": "text/css; charset=utf-8", "script.js": "text/javascript; charset=utf-8"}
PACKAGES = ("pipeline.inspecting", "pipeline.distillation", "pipeline.report")


class PageRenderer:
    """Renderer of the templates, style and script."""

    def __init__(self) -> None:
        self._environment = open_environment(*PACKAGES)
        self._environment.filters |= {"path": quote_segment, "cell": write_cell, "json": lambda v: write_json(v, 1)}
        self._environment.filters |= {"words": lambda text: show_controls(str(text)).replace("_", " ")}
        self._environment.globals["frame"] = layout
        own, distillation, report = (files(package) / "templates" for package in PACKAGES)
        sheets = (report / "report.css", distillation / "rounds.css", own / "inspect.css")
        style = "".join(sheet.read_text("utf-8") for sheet in sheets)
        self._static = {"style.css": style, "script.js": (own / "inspect.js").read_text("utf-8")}

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page."""
        return HTMLResponse(self._environment.get_template(template).render(**values), status)

    def send_file(self, name: str) -> Response:
        """The style or the script."""
        if name not in self._static:
            return Response("there is no such file", 404, media_type="text/plain")
        return Response(self._static[name], headers={"content-type": KINDS[name]})


def quote_segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


def link(query: str, **more: Any) -> str:
    """A query string with further parameters, question mark included."""
    extra = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in more.items() if value is not None)
    joined = "&".join(part for part in (query, extra) if part)
    return f"?{joined}" if joined else ""


def pick(values: Mapping[str, str]) -> dict[str, str]:
    """The non-empty fields of a form."""
    return {key: value for key, value in values.items() if value.strip()}
