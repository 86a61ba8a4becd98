"""How far an evaluation is, on a terminal and elsewhere."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from flows.monitoring import progress
from flows.monitoring.progress import show_questions


def show(terminal: bool) -> str:
    screen = StringIO()
    with show_questions(Console(file=screen, force_terminal=terminal, width=100)) as note:
        for done in range(4):
            note(done, 4)
    return screen.getvalue()


def test_off_a_terminal_a_line_comes_when_it_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert show(terminal=False) == ""
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", 0.0)
    assert show(terminal=False).splitlines() == [f"{done}/4 questions answered" for done in range(4)]


def test_on_a_terminal_a_bar_is_drawn() -> None:
    assert "3/4" in show(terminal=True)
