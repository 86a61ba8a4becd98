"""Session traces, as the Hugging Face Hub shows them (Session Trace Simple Format): a file a trajectory.

The first line of a file is the session, with what is known of the attempt, which the viewer ignores; each further line
is a message, thoughts and calls in fields of their own.
"""

from __future__ import annotations

from typing import Any

from pipeline.exporting.columns import list_facts
from pipeline.exporting.samples import Sample
from pipeline.exporting.spec import Exporter, RowPlace, Table
from pipeline.rendering.chat_template import MessageForm
from schemas.exports import Purpose, Trainer
from schemas.renderings import ChatMessage, RenderingName

HARNESS = "rampforge"
"""Id of what made the session: the Hub shows others than its own without icon and label."""
NAME_CHARS = 80


def write_session(sample: Sample, place: RowPlace) -> dict[str, Any]:
    """Write the lines of a session, and its id."""
    example = sample.example
    name = " ".join((example.title or example.question.text).split())[:NAME_CHARS]
    about = {**list_facts(sample), "golds": example.golds, "mask_kinds": example.mask_kinds, "shown": example.shown}
    header = {**about, "type": "session", "harness": HARNESS, "id": example.trajectory_id, "name": name}
    messages = [{"type": "message", "message": _write_message(message)} for message in sample.messages]
    return {"id": example.trajectory_id, "lines": [header, *messages]}


def _write_message(message: ChatMessage) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": str(message.role), "content": message.content}
    if message.thought is not None:
        plain["reasoningContent"] = message.thought
    if message.tools:
        plain["toolCalls"] = [
            {"id": use.call_id, "function": {"name": use.name, "arguments": use.arguments}} for use in message.tools
        ]
    if message.answers_call is not None:
        plain["toolCallId"] = message.answers_call
    return plain


def build_tables(rendering: RenderingName, form: MessageForm | None) -> tuple[Table, ...]:
    """Accepted trajectories."""
    return (Table(Purpose.SFT, write_session, sessions=True),)


SESSION_TRACES = Exporter(
    trainer=Trainer.SESSION_TRACES,
    summary="session traces for the viewer of the Hugging Face Hub, a file a trajectory",
    renderings=(RenderingName.OPENAI_TOOLS, RenderingName.MASKSEARCH),
    build_tables=build_tables,
    applies_template=False,
)
