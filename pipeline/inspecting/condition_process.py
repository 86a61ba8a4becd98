"""Rows for a condition that somebody wrote, read in a process of its own.

Promises: a condition that takes too long or too much memory ends with InspectError, and its process with it: the server
that asked keeps its memory and its threads.
"""

from __future__ import annotations

import multiprocessing
import resource
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.inspecting.attempts_table import ATTEMPTS, make_attempts
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.locations import open_location
from pipeline.inspecting.readonly_database import SECONDS, ReadonlyDatabase
from pipeline.inspecting.row_query import RowPage, RowQuery, read_rows
from pipeline.inspecting.shard_listing import ShardListing, list_shards

SPARE_BYTES = 3 << 29
"""Address space that a condition may take beside what opening the data took: 1.5 GiB."""
STATM = Path("/proc/self/statm")


def read_rows_apart(listing: ShardListing, wanted: RowQuery, seconds: float = SECONDS) -> RowPage:
    """As `read_rows`. Raises InspectError, also for a condition that needs more than `seconds` or `SPARE_BYTES`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    where: ShardListing | str = listing if listing.place.kept_here else listing.place.address
    process = context.Process(target=_work, args=(where, wanted, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            raise InspectError(f"the query took longer than {seconds:g} s", "ask for less")
        found = ours.recv()
    except EOFError:
        what = f"the query's process died: it needed more than {SPARE_BYTES >> 20:,} MiB of memory, or failed"
        raise InspectError(what, "ask for less") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(found, RowPage):
        return found
    raise InspectError(*found)


def _work(where: ShardListing | str, wanted: RowQuery, answers: Connection) -> None:
    """In the process: the rows, or what is wrong with the query; nothing where memory did not suffice."""
    listing = list_shards(open_location(where)) if isinstance(where, str) else where
    with suppress(MemoryError):
        try:
            database = ReadonlyDatabase(listing)
            if wanted.dataset == ATTEMPTS:
                make_attempts(database)
            _limit_memory()
            answers.send(read_rows(database, wanted))
        except InspectError as error:
            answers.send((error.what, error.fix))


def _limit_memory() -> None:
    """Where the system says how much is taken: elsewhere the time limit alone holds."""
    if STATM.exists():
        taken = int(STATM.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + SPARE_BYTES, taken + SPARE_BYTES))
