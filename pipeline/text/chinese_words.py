"""jieba, the segmenter of Chinese words, with its cache in a private folder.

Guarantees: by default jieba keeps its parsed dictionary in the temporary folder shared by all users, and reads back
whatever is there; here it is a folder of this user alone.
"""

from __future__ import annotations

import logging
import tempfile
from functools import cache
from typing import Any

from pipeline.assets.store import locate_cache


@cache
def open_jieba() -> Any:
    """Return the module, silenced. Its dictionary is loaded at first use, which takes a second."""
    import jieba

    jieba.setLogLevel(logging.ERROR)
    folder = locate_cache() / "jieba"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        jieba.dt.tmp_dir = str(folder)
    except OSError:  # the home folder is not writable: each process parses the dictionary again
        scratch = tempfile.TemporaryDirectory(prefix="rampforge-jieba-")
        jieba.dt.tmp_dir = scratch.name
        jieba.dt.scratch = scratch  # lives as long as the dictionary
    return jieba
