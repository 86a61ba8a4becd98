"""jieba, which cuts Chinese text into words, with its cache in a folder of ours.

Contract: by itself jieba keeps its parsed dictionary in the temporary folder that all users share, and reads back
whatever lies there; here it is a folder of this user alone.
"""

from __future__ import annotations

import logging
import tempfile
from functools import cache
from typing import Any

from pipeline.assets.store import locate_cache


@cache
def open_jieba() -> Any:
    """The module, quiet. Its dictionary is loaded when it is first used, which takes a second."""
    import jieba

    jieba.setLogLevel(logging.ERROR)
    folder = locate_cache() / "jieba"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        jieba.dt.tmp_dir = str(folder)
    except OSError:  # a home that cannot be written: the dictionary is parsed anew by each process
        scratch = tempfile.TemporaryDirectory(prefix="rampforge-jieba-")
        jieba.dt.tmp_dir = scratch.name
        jieba.dt.scratch = scratch  # lives as long as the dictionary
    return jieba
