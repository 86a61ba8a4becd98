"""What the Prefect server does by itself about runs that die.

A flow run tells every thirty seconds that it lives. When three of these are missing, its worker is gone and the run is
marked as crashed; a flow run of ours that crashed after it had begun is scheduled again, for any worker.
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
"""Every deployment of ours carries it; automations touch no other runs."""
SILENCE = timedelta(seconds=90)
LONGEST_RUN = timedelta(days=60)
"""A run that crashes later than this after its start is left to people. (Prefect forgets it at once when this is 0.)"""
HEARTBEAT = "prefect.flow-run.heartbeat"
ENDS = {f"prefect.flow-run.{end}" for end in ("Completed", "Failed", "Cancelled", "Crashed")}


def list_automations() -> Sequence[AutomationCore]:
    """What the server is to do by itself."""
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
    dead = f"No sign of life for {SILENCE.seconds} seconds: its worker is gone. Another one goes on with it."
    again = "Its process died. It is started again in the folder it had, and does only what is owed."
    return (
        AutomationCore(
            name="rampforge: a run that shows no sign of life has crashed",
            trigger=silent,
            actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=dead)],
        ),
        AutomationCore(
            name="rampforge: a run that crashed is started again",
            trigger=crashed,
            actions=[ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message=again)],
        ),
    )


def settle_automations(client: SyncPrefectClient) -> None:
    """Put them on the server, in place of those of an earlier deployment."""
    for automation in list_automations():
        for earlier in client.read_automations_by_name(automation.name):
            client.delete_automation(earlier.id)
        client.create_automation(automation)
