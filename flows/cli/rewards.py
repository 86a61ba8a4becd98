"""Command `rampforge rewards`: resistance of the rewards to gaming."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.inspect import PLAIN_WIDTH
from pipeline.errors import RampforgeError

rewards_app = typer.Typer(
    no_args_is_help=True, help="Check the rewards for RL, which trainers import from `flows/trainer_rewards.py`."
)


@rewards_app.callback()
def about_rewards() -> None:
    """Check the rewards for RL."""


@rewards_app.command()
def check(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Try to game every reward with the adversarial set, and fail if one succeeds."""
    from pipeline.rewards.adversarial import Paid, attack_rewards, list_attacks
    from schemas.rewards import RewardName

    entries: dict[tuple[str, str, str], list[Paid]] = {}
    for attack in list_attacks():
        about = (attack.row.lang, attack.reason.value, attack.name)
        entries.setdefault(about, []).append(attack_rewards(attack))
    most = {
        about: {reward.value: max(one.rewards[reward] for one in paid) for reward in RewardName}
        for about, paid in entries.items()
    }
    leaks = [about for about, paid in entries.items() if not all(one.stopped for one in paid)]
    if as_json:
        rows = [{"lang": about[0], "reason": about[1], "name": about[2], **rewards} for about, rewards in most.items()]
        sys.stdout.write(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    else:
        table = Table("lang", "completion", "stopped as", *(reward.value for reward in RewardName))
        for about, rewards in most.items():
            style = "bold red" if about in leaks else None
            table.add_row(about[0], about[2], about[1], *(f"{value:g}" for value in rewards.values()), style=style)
        console = Console()
        if not console.is_terminal:
            console = Console(width=PLAIN_WIDTH)
        console.print(table)
        count = sum(map(len, entries.values()))
        console.print(f"{len(entries)} attacks, {count} completions: {len(entries) - len(leaks)} stopped")
    if leaks:
        raise RampforgeError(
            f"{len(leaks)} completions of the adversarial set are not stopped, first: {leaks[0][2]}",
            "this is a bug in rampforge: see pipeline/rewards/gaming.py",
        )
