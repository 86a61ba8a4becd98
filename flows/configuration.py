"""Builds the configuration of a run: a YAML file (ours by name, or yours by path), then `--set section.key=value`.

Secrets are never part of it: they are read from the environment where a client is built, and go nowhere else.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import BaseModel, ValidationError

from pipeline.errors import ConfigError
from schemas.config import RunConfig

PRESETS = files("flows") / "presets"


def list_presets() -> list[str]:
    """Names that `--config` takes besides paths."""
    return sorted(entry.name.removesuffix(".yaml") for entry in PRESETS.iterdir() if entry.name.endswith(".yaml"))


def load_config(source: str | None, overrides: Iterable[str] = (), base: RunConfig | None = None) -> RunConfig:
    """Read a preset or a file (or start from `base`), apply the overrides, check everything.

    Raises ConfigError naming every key that is unknown or out of bounds.
    """
    values = _read_yaml(source) if source else (base.model_dump(mode="json") if base else {})
    for override in overrides:
        _apply(values, override)
    try:
        return RunConfig.model_validate_json(_to_json(values))
    except ValidationError as error:
        raise ConfigError(_explain(error), "`rampforge config` prints every key with its meaning") from None


def _to_json(values: dict[str, Any]) -> bytes:
    # YAML reads 2026-01-01 as a date and the like: through JSON every value is judged by the field it is for.
    return orjson.dumps(values, default=str)


def _read_yaml(source: str) -> dict[str, Any]:
    preset = PRESETS / f"{source}.yaml"
    try:
        text = preset.read_text() if preset.is_file() else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(list_presets())
        raise ConfigError(
            f"config {source}: cannot be read ({error})", f"name a YAML file, or one of: {names}"
        ) from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"config {source}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict | None):
        raise ConfigError(f"config {source}: must be a mapping of sections", "`rampforge config` prints an example")
    return values or {}


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one `section.key=value`; the value is YAML, so lists and null can be written."""
    name, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"--set {override}: no value", "write --set section.key=value")
    *sections, key = name.strip().split(".")
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {override}: {section} is no section")
    try:
        place[key] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(
            f"--set {override}: the value is not YAML", "quote it: --set 'section.key=\"text\"'"
        ) from None


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, list(describe_keys(RunConfig)), n=1)
            lines.append(f"unknown key {name}" + (f" (did you mean {close[0]}?)" if close else ""))
        else:
            lines.append(f"{name or 'config'}: {fault['msg']}")
    return "; ".join(lines)


def describe_keys(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Every key of a configuration with the sentence that explains it."""
    keys: dict[str, str] = {}
    for name, info in model.model_fields.items():
        annotation = info.annotation
        keys[prefix + name] = info.description or ""
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            keys.update(describe_keys(annotation, f"{prefix}{name}."))
    return keys


def write_yaml(config: RunConfig) -> str:
    """The configuration as YAML, each key explained by a comment above it."""
    return "\n".join(_write_section(config, describe_keys(RunConfig), "")) + "\n"


def _write_section(section: BaseModel, descriptions: dict[str, str], prefix: str) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for key, value in section.model_dump(mode="json").items():
        yield f"{indent}# {' '.join(descriptions[prefix + key].split())}"
        inner = getattr(section, key)
        if isinstance(inner, BaseModel):
            yield f"{indent}{key}:"
            yield from _write_section(inner, descriptions, f"{prefix}{key}.")
        else:  # JSON is YAML, and shows text, lists and null for what they are
            yield f"{indent}{key}: {orjson.dumps(value).decode()}"
