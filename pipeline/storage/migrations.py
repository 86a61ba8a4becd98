"""How rows of an older schema version become rows of the next.

When a field of a record changes its meaning, its model's `version` is raised and one `Migration` is added to
`MIGRATIONS`: from the version before, a row in, a row out. A field that is merely new, with a default, needs none: rows
are filled with it when their shard is written anew. No dataset has raised its version yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import StorageError
from schemas.record import Record

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of one dataset."""

    dataset: str
    version: int
    """The version it takes; what it makes is of the next."""
    says: str
    """What changes, in a few words."""
    change: Callable[[Row], Row]
    """The new row; ids must stay, or rows that name them would dangle."""


MIGRATIONS: tuple[Migration, ...] = ()
"""Every step there is."""


def find_chain(model: type[Record], version: int, known: Iterable[Migration]) -> Sequence[Migration]:
    """The steps from a version to the model's own. Raises StorageError where one is missing, or the shard is newer."""
    if version > model.version:
        raise StorageError(
            f"{model.dataset} of schema version {version}: this rampforge knows up to {model.version}",
            "upgrade rampforge: shards are not migrated backwards",
        )
    steps = {step.version: step for step in known if step.dataset == model.dataset}
    missing = [number for number in range(version, model.version) if number not in steps]
    if missing:
        raise StorageError(
            f"{model.dataset} of schema version {version}: there is no way from {missing[0]} to {missing[0] + 1}",
            "make the stage again: `rampforge run ... --redo STAGE`",
        )
    return [steps[number] for number in range(version, model.version)]


def migrate_row(model: type[Record], row: Row, chain: Iterable[Migration]) -> Row:
    """A row as the model has it now, checked. Raises ValueError where it is none, or its id would change."""
    changed = row
    for step in chain:
        changed = step.change(dict(changed))
    made = model.model_validate(changed)
    before = row.get(model.id_field)
    if before is not None and made.key != before:
        raise ValueError(f"the id of {before} would become {made.key}")
    return made.model_dump(mode="json")
