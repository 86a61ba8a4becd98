"""The matrix of a model's chat template, from a file or a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from pipeline.errors import ConfigError
from schemas.renderings import RenderingName
from tests.support import chat_templates


def check(model: str) -> Result:
    return CliRunner().invoke(app, ["templates", "check", model])


def write(folder: Path, template: str) -> str:
    path = folder / "template.jinja"
    path.write_text(template, "utf-8")
    return str(path)


def test_every_format_has_a_row(tmp_path: Path) -> None:
    done = check(write(tmp_path, chat_templates.THOUGHTFUL))
    assert done.exit_code == 0
    assert all(name in done.stdout for name in RenderingName)
    assert done.stdout.count("identical") == len(RenderingName)
    assert "keep_past_thinking" in done.stdout
    assert "reasoning_content" in done.stdout


def test_a_template_that_can_express_no_format_fails(tmp_path: Path) -> None:
    done = check(write(tmp_path, chat_templates.CLOSED))
    assert done.exit_code == 1
    assert done.stdout.count("refused") == len(RenderingName)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        CliRunner().invoke(app, ["templates", "check", "none.jinja"], catch_exceptions=False)


@pytest.mark.assets
def test_a_model_is_checked_by_its_own_template() -> None:
    done = check("smollm2-135m-instruct")
    assert done.exit_code == 0
    assert done.stdout.count("refused") == 2
