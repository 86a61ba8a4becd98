"""The folder of prompt templates that a configuration names, and which of them decide the rows of a stage."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import ConfigError
from prompts.library import TemplateError, use_folder
from schemas.config import RunConfig, StageName

OWN: dict[StageName, frozenset[str]] = {
    StageName.PROPOSALS: frozenset({"extract_spans"}),
    StageName.JUDGEMENTS: frozenset({"judge_answer", "judge_question"}),
}
"""Templates of one stage alone."""
SHARED = frozenset({"ask_again", "repeated_gaps"})
SOLVING = (StageName.TRAJECTORIES, StageName.DIFFICULTIES)
"""Stages that use all other templates."""


def use_prompts(config: RunConfig) -> dict[str, str]:
    """Use the templates of a configuration in this process; return the digests of the user's own, by name.

    Raises ConfigError for a folder that does not exist, a file of an unknown name, or a template with other fields than
    the one it replaces."""
    folder = config.prompts.folder
    try:
        return use_folder(None if folder is None else Path(folder).absolute())
    except TemplateError as error:
        raise ConfigError(f"prompts.folder: {error}", "copy the file from prompts/templates and edit that") from None


def digest_prompts(config: RunConfig, stage: StageName) -> dict[str, str]:
    """The user's own templates that decide the rows of a stage, as part of its fingerprint; empty without any."""
    if stage not in OWN and stage not in SOLVING:
        return {}
    others = frozenset[str]().union(*OWN.values()) - OWN.get(stage, frozenset())
    names = OWN.get(stage, frozenset()) | SHARED
    found = {
        name: digest
        for name, digest in use_prompts(config).items()
        if (kind := name.partition(".")[0]) in names or (stage in SOLVING and kind not in others)
    }
    return {"prompts": ", ".join(f"{name} {digest}" for name, digest in sorted(found.items()))} if found else {}
