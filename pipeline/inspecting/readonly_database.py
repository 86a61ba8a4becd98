"""DuckDB restricted to reading the shards of a listing.

Guarantees: a user can run nothing but one SELECT; no statement can open other files than the listed shards; extensions
are neither installed nor loaded; no setting can be changed; a query ends at its time limit. Each dataset is a view of
its own name.
"""

# ruff: noqa: S608  # SQL consists of constants; outside text is passed as parameters
from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Lock, Timer
from typing import Any

import duckdb

from pipeline.inspecting.errors import InspectError, UnreadableError
from pipeline.inspecting.shard_listing import Shard, ShardListing

MEMORY = "1GB"
SECONDS = 60.0
"""Time limit of a query."""
USER_ERRORS = (
    duckdb.ParserException, duckdb.SyntaxException, duckdb.BinderException, duckdb.CatalogException,
    duckdb.PermissionException, duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.TypeMismatchException,
    duckdb.OutOfMemoryException, duckdb.NotImplementedException,
)  # fmt: skip
"""Errors of the query; any other is an error of the data."""
MAX_CACHED = 32
"""Maximum number of cached results of costly queries."""
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": MEMORY,
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows of a query."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Each row by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class ReadonlyDatabase:
    """Read-only database with one view per dataset."""

    def __init__(self, listing: ShardListing) -> None:
        self.listing = listing
        self._db = duckdb.connect(config=SETTINGS)
        if (client := listing.place.client()) is not None:
            self._db.register_filesystem(client)
        paths = [shard.file.address for shards in listing.datasets.values() for shard in shards]
        # DuckDB checks a path twice: as a pattern, then literally.
        self._db.execute("SET allowed_paths = $1", [paths + [glob.escape(path) for path in paths]])
        self._db.execute("SET parquet_metadata_cache = true")
        self._db.execute("SET enable_external_access = false")
        for name, shards in listing.datasets.items():
            self._db.execute(f"CREATE VIEW {quote_name(name)} AS SELECT * FROM {scan_shards(shards)}")
        self._db.execute("SET lock_configuration = true")
        self._lock = Lock()
        self._cached: dict[tuple[str, ...], str] = {}
        self._numbers = count()

    def close(self) -> None:
        """Close the files."""
        self._db.close()

    def columns(self, name: str) -> dict[str, str]:
        """The columns of a dataset, with their types."""
        return {row[0]: str(row[1]) for row in self.query(f"DESCRIBE {quote_name(name)}").rows}

    def query(self, sql: str, parameters: Sequence[Any] = (), seconds: float | None = SECONDS) -> QueryResult:
        """Run a statement of this package. Raises InspectError."""
        with self.cursor(seconds) as cursor:
            cursor.execute(sql, list(parameters))
            names = tuple(column[0] for column in cursor.description or ())
            return QueryResult(names, cursor.fetchall())

    def select_rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The rows of a statement of this package by column, without a time limit. Raises InspectError."""
        return self.query(sql, parameters, None).as_dicts()

    def select(self, sql: str) -> QueryResult:
        """Run a statement with a user's SQL. Raises InspectError unless it is one SELECT."""
        check_select(sql)
        return self.query(sql)

    def cache_result(self, sql: str, parameters: Sequence[str]) -> str:
        """Name of the table with the result of a costly query; the same query is run once."""
        key = (sql, *parameters)
        with self._lock:
            name = self._cached.pop(key, None)
            if name is None:
                name = f"cached_{next(self._numbers)}"
                self.query(f"CREATE TABLE {name} AS {sql}", parameters)
            self._cached[key] = name  # moved to the end: the first is the least recently used
            while len(self._cached) > MAX_CACHED:
                self.query(f"DROP TABLE {self._cached.pop(next(iter(self._cached)))}")
        return name

    @contextmanager
    def cursor(self, seconds: float | None = SECONDS) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one thread, stopped at the time limit. Raises InspectError, UnreadableError.

        None is for look-ups by position: a limit costs a thread, and on a busy machine more than the query.
        """
        cursor = self._db.cursor()
        timer = Timer(seconds, cursor.interrupt) if seconds is not None else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            yield cursor
        except duckdb.InterruptException:
            raise InspectError(f"the query took longer than {seconds:g} s", "ask for less") from None
        except USER_ERRORS as error:
            raise InspectError(_first_line(error), self._name_columns()) from None
        except duckdb.Error as error:
            raise UnreadableError(_first_line(error), "one of the shards may be damaged") from None
        finally:
            if timer is not None:
                timer.cancel()
            cursor.close()

    def _name_columns(self) -> str:
        return f"datasets here: {', '.join(self.listing.datasets) or 'none'}; each shows its columns when opened"


def check_select(sql: str) -> None:
    """Raise InspectError unless the text is one SELECT."""
    try:
        with duckdb.connect() as parser:
            statements = parser.extract_statements(sql)
    except duckdb.Error as error:
        raise InspectError(_first_line(error), "write a condition as in SQL, such as \"hide = 'passage'\"") from None
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InspectError("only one SELECT may be run: data are read-only", "write a condition")


def quote_name(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A quoted string."""
    return "'" + text.replace("'", "''") + "'"


def scan_shards(shards: Sequence[Shard]) -> str:
    """The table function that reads shards. DuckDB treats paths as patterns, so each is escaped."""
    names = ", ".join(quote_text(glob.escape(shard.file.address)) for shard in shards)
    by_name = any(shard.schema != shards[0].schema for shard in shards)
    return f"read_parquet([{names}], hive_partitioning = false, union_by_name = {by_name})"


def _first_line(error: duckdb.Error) -> str:
    lines = str(error).splitlines()
    return f"{lines[0]} {lines[1]}".strip()[:300] if len(lines) > 1 else lines[0][:300]
