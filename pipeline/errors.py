"""What can go wrong, named by the boundary it crossed.

Every error a user can meet is a `RampforgeError`: one line that says what is wrong, and the next command to try. The
command line prints these two and exits with 1; a traceback is printed only with `--debug`.
"""

from __future__ import annotations


class RampforgeError(Exception):
    """What is wrong, and what to do next."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what if not fix else f"{what}\n  -> {fix}")
        self.what = what
        self.fix = fix

    def __reduce__(self) -> tuple[type[RampforgeError], tuple[str, str]]:
        return type(self), (self.what, self.fix)


class ConfigError(RampforgeError):
    """A configuration cannot be read, or does not fit the run."""


class SourceError(RampforgeError):
    """A file that pages are read from is broken, missing or of no known kind."""


class StorageError(RampforgeError):
    """A run folder, shard, journal or index cannot be read or written."""


class RunHeldError(StorageError):
    """Another process is at work on the run."""


class AssetError(RampforgeError):
    """A model or sample file cannot be fetched or is not what it should be."""


class SearchError(RampforgeError):
    """A search engine cannot be opened or does not fit the corpus."""
