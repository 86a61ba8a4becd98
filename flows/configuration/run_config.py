"""Loader of the configuration of a run: a YAML file (a preset by name, or any file by path), then `--set
section.key=value`.

Secrets are never part of it: they are read from the environment where a client is created, and passed nowhere else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError, to_jsonable_python

from flows.configuration.plain_values import NotPlainError, check_plain
from pipeline.errors import ConfigError
from schemas.config import RunConfig

ConfigSource = str | Path | Mapping[str, Any] | RunConfig | None
"""Name of a preset or a file, plain values, a configuration; None for the defaults."""
PRESETS = files("flows") / "presets"
SHOWN = 100
"""Characters of a `--set` that a message quotes."""
FIX = "`rampforge config` prints every key with its meaning"


def list_presets() -> list[str]:
    """Return the names that `--config` accepts besides paths."""
    return sorted(entry.name.removesuffix(".yaml") for entry in PRESETS.iterdir() if entry.name.endswith(".yaml"))


def load_config(source: str | None, overrides: Iterable[str] = (), base: RunConfig | None = None) -> RunConfig:
    """Read a preset or a file (or start from `base`), apply the overrides, and validate everything.

    Raises ConfigError naming every key that is unknown or out of bounds.
    """
    values = _read_yaml(source) if source else (base.model_dump(mode="json") if base else {})
    for override in overrides:
        _apply(values, override)
    return _build(values)


def make_config(source: ConfigSource, settings: Mapping[str, Any] | None = None) -> RunConfig:
    """Make a configuration in Python: a preset or file, plain values or a RunConfig, with settings on top.

    `settings`: values by key, such as `{"masking.limit": 20}`; a mapping is merged into the section of that name.
    Raises ConfigError as `load_config` does.
    """
    if isinstance(source, str | Path):
        values = _read_yaml(str(source))
    else:
        values = _make_plain({} if source is None else source)
    for name, value in _make_plain(settings or {}).items():
        *sections, key = name.split(".")
        place = _find_section(values, sections, name)
        merge = isinstance(value, dict) and isinstance(place.get(key), dict)
        place[key] = _merge(place[key], value) if merge else value
    return _build(values)


def _make_plain(values: Mapping[str, Any] | RunConfig) -> dict[str, Any]:
    """Return a copy without records, paths and enums."""
    try:
        plain = to_jsonable_python(dict(values) if isinstance(values, Mapping) else values, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError) as error:
        raise ConfigError(f"config: {' '.join(str(error).split())}", FIX) from None
    if not isinstance(plain, dict):
        raise ConfigError("config: should be a mapping of sections", FIX)
    return plain


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings, section by section; values of the second take precedence."""
    both = one | other
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = _merge(one[key], other[key])
    return both


def _build(values: dict[str, Any]) -> RunConfig:
    try:
        check_plain(values)
        # YAML reads 2026-01-01 as a date, for example: through JSON every value is validated by its own field.
        config = RunConfig.model_validate_json(orjson.dumps(values, default=str))
        check_plain(config.model_dump())  # a number may also be given as text
    except ValidationError as error:
        raise ConfigError(explain_faults(error), FIX) from None
    except NotPlainError as error:
        raise ConfigError(str(error), FIX) from None
    return config


def _read_yaml(source: str) -> dict[str, Any]:
    preset = PRESETS / f"{source}.yaml"
    try:
        text = preset.read_text() if preset.is_file() else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(list_presets())
        raise ConfigError(f"config {source}: not readable ({error})", f"use a YAML file, or one of: {names}") from None
    values = _parse_yaml(text, lambda reason: ConfigError(f"config {source}: not YAML: {reason}"))
    if not isinstance(values, dict | None):
        raise ConfigError(f"config {source}: must be a mapping of sections", "`rampforge config` prints an example")
    return values or {}


def _apply(values: dict[str, Any], override: str) -> None:
    """Apply one `section.key=value`; the value is YAML, which allows lists and null."""
    name, equals, text = override.partition("=")
    override = override if len(override) <= SHOWN else f"{override[:SHOWN]}..."
    if not equals:
        raise ConfigError(f"--set {override}: no value", "use --set section.key=value")
    *sections, key = name.strip().split(".")
    place = _find_section(values, sections, f"--set {override}")
    fix = "quote it: --set 'section.key=\"text\"'"
    place[key] = _parse_yaml(
        text, lambda reason: ConfigError(f"--set {override}: the value is not YAML: {reason}", fix)
    )


def _find_section(values: dict[str, Any], sections: Sequence[str], origin: str) -> dict[str, Any]:
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{origin}: {section} is not a section", FIX)
    return place


def _parse_yaml(text: str, refuse: Callable[[str], ConfigError]) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise refuse(" ".join(str(error).split())) from None
    except ValueError:
        raise refuse("it contains an invalid date, or a number of more than 4,300 digits") from None
    except RecursionError:
        raise refuse("values are nested too deeply") from None


def explain_faults(error: ValidationError) -> str:
    """Describe all errors of a configuration in one line."""
    return " ".join("; ".join(_explain_fault(fault) for fault in error.errors()).split())


def _explain_fault(fault: ErrorDetails) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    match fault["type"]:
        case "extra_forbidden":
            return f"unknown key {name}{_suggest(name)}"
        case "value_error":
            return f"{name or 'config'}: {fault['ctx']['error']}"
        case "tuple_type" | "list_type":
            return f"{name}: should be a list, such as [{fault['input']}]"
        case "model_type" | "dict_type":
            return f"{name}: should be a section with keys of its own"
    return f"{name or 'config'}: {fault['msg'].replace('Input should', 'should')}"


def _suggest(name: str) -> str:
    """Return the key that was probably meant: one with the same last part, else the most similar one."""
    keys = list(describe_keys(RunConfig))
    leaves = [key for key in keys if key.rpartition(".")[2] == name]
    close = leaves or difflib.get_close_matches(name, keys, n=1)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def describe_keys(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Return every key of a configuration with its description."""
    keys: dict[str, str] = {}
    for name, info in model.model_fields.items():
        annotation = info.annotation
        keys[prefix + name] = info.description or ""
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            keys.update(describe_keys(annotation, f"{prefix}{name}."))
    return keys


def write_yaml(config: RunConfig) -> str:
    """Write the configuration as YAML, with the description of each key as a comment above it."""
    return "\n".join(_write_section(config, describe_keys(RunConfig), "")) + "\n"


def _write_section(section: BaseModel, descriptions: dict[str, str], prefix: str) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for key, value in section.model_dump(mode="json").items():
        yield f"{indent}# {' '.join(descriptions[prefix + key].split())}"
        inner = getattr(section, key)
        if isinstance(inner, BaseModel):
            yield f"{indent}{key}:"
            yield from _write_section(inner, descriptions, f"{prefix}{key}.")
        else:  # JSON is valid YAML, and distinguishes text, lists and null
            yield f"{indent}{key}: {orjson.dumps(value).decode()}"
