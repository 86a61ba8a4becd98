"""Automations of the Prefect server for runs that die.

A flow run sends a heartbeat every thirty seconds. When three are missing, its worker is gone and the run is marked as
crashed; a flow run of rampforge that crashed after it had started is scheduled again, for any worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events import EventTrigger, Posture, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore

TAG = "rampforge"
"""Tag of all deployments of rampforge; automations affect no other runs."""
SILENCE = timedelta(seconds=90)
LONGEST_RUN = timedelta(days=60)
"""Maximum age of a run at a crash for it to be restarted. (With 0 Prefect would forget it at once.)"""
HEARTBEAT = "prefect.flow-run.heartbeat"
ENDS = {f"prefect.flow-run.{end}" for end in ("Completed", "Failed", "Cancelled", "Crashed")}


def list_automations() -> Sequence[AutomationCore]:
    """Return the automations."""
    ours = {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}
    about = {
        "match": ResourceSpecification.model_validate({"prefect.resource.id": "prefect.flow-run.*"}),
        "match_related": ResourceSpecification.model_validate(ours),
        "for_each": {"prefect.resource.id"},
    }
    silent = EventTrigger(
        posture=Posture.Proactive, after={HEARTBEAT}, expect={HEARTBEAT, *ENDS}, within=SILENCE, threshold=1, **about
    )
    crashed = EventTrigger(
        posture=Posture.Reactive,
        after={"prefect.flow-run.Running"},
        expect={"prefect.flow-run.Crashed"},
        within=LONGEST_RUN,
        threshold=1,
        **about,
    )
    dead = f"No heartbeat for {SILENCE.seconds} seconds: its worker is gone. Another worker resumes it."
    again = "Its process died. It is started again in the same folder, and does only the remaining work."
    return (
        AutomationCore(
            name="rampforge: a run without heartbeat has crashed",
            trigger=silent,
            actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=dead)],
        ),
        AutomationCore(
            name="rampforge: restart a crashed run",
            trigger=crashed,
            actions=[ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message=again)],
        ),
    )


def settle_automations(client: SyncPrefectClient) -> None:
    """Create the automations on the server, replacing those of an earlier deployment."""
    for automation in list_automations():
        for earlier in client.read_automations_by_name(automation.name):
            client.delete_automation(earlier.id)
        client.create_automation(automation)
