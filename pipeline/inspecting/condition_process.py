"""Rows that match a user's condition, read in a separate process.

Guarantees: a condition that takes too long or too much memory ends with InspectError and its process is killed; the
server's memory and threads are unaffected.
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
"""Address space of a condition, in addition to that of the opened data: 1.5 GiB."""
STATM = Path("/proc/self/statm")


def read_rows_apart(listing: ShardListing, query: RowQuery) -> RowPage:
    """As `read_rows`. Raises InspectError also for a condition that exceeds `SECONDS` or `SPARE_BYTES`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    where: ShardListing | str = listing if listing.place.is_local else listing.place.address
    process = context.Process(target=_work, args=(where, query, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            raise InspectError(f"the query took longer than {SECONDS:g} s", "ask for less")
        reply = ours.recv()
    except EOFError:
        fault = f"the query's process died: it needed more than {SPARE_BYTES >> 20:,} MiB of memory, or failed"
        raise InspectError(fault, "ask for less") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(reply, RowPage):
        return reply
    raise InspectError(*reply)


def _work(where: ShardListing | str, query: RowQuery, answers: Connection) -> None:
    """In the process: send the rows, or the error of the query; nothing when out of memory."""
    listing = list_shards(open_location(where)) if isinstance(where, str) else where
    with suppress(MemoryError):
        try:
            database = ReadonlyDatabase(listing)
            if query.dataset == ATTEMPTS:
                make_attempts(database)
            _limit_memory()
            answers.send(read_rows(database, query))
        except InspectError as error:
            answers.send((error.what, error.fix))


def _limit_memory() -> None:
    """Limit the address space where the system reports its use; elsewhere only the time limit applies."""
    if STATM.exists():
        taken = int(STATM.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + SPARE_BYTES, taken + SPARE_BYTES))
