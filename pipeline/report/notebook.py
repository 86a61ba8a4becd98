"""Trajectories in a notebook, with the look of the report.

Guarantees: the card is a sandboxed frame that runs no script and loads nothing, so neither outside text nor its style
sheet can affect the notebook.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup, escape

from pipeline.report.example_view import view_example
from pipeline.report.page import TEMPLATES, open_environment, write_policy
from pipeline.report.report_data import ReportExample

HEIGHT = 560
"""Height of a card, in CSS pixels; it scrolls."""


@dataclass(frozen=True, slots=True)
class TrajectoryCard:
    """Trajectory with its task and, if it was judged, its judgement."""

    example: ReportExample

    def __repr__(self) -> str:
        judgement, trajectory = self.example.judgement, self.example.trajectory
        ended = "not judged" if judgement is None else "accepted" if judgement.accepted else judgement.reject_reason
        return f"<{trajectory.trajectory_id}: {self.example.task.title!r}, {len(trajectory.turns)} turns, {ended}>"

    def _repr_html_(self) -> str:
        """HTML for the notebook."""
        return f'<iframe sandbox="" width="100%" height="{HEIGHT}" srcdoc="{escape(self.page())}"></iframe>'

    def page(self) -> str:
        """The card as an HTML document."""
        style = (TEMPLATES / "report.css").read_text("utf-8")
        return (
            open_environment("pipeline.report")
            .get_template("card.html")
            .render(
                view=view_example(1, self.example),
                style=Markup(style),  # noqa: S704  # own file, not outside text
                policy=write_policy(style),
            )
        )
