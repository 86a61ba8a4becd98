"""jieba keeps its dictionary in a folder of this user, never in the shared temporary one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CUT = """
from pipeline.text.chinese_words import open_jieba
from pipeline.masking.entities import find_chinese_names
list(find_chinese_names(["北京大学在北京。"]))
print(open_jieba().lcut("北京大学在北京"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("writable", [True, False])
def test_the_dictionary_is_cached_in_a_folder_of_ours(tmp_path: Path, writable: bool) -> None:
    shared, cache = tmp_path / "tmp", tmp_path / "cache"
    shared.mkdir()
    if not writable:
        cache.write_text("a file where the folder should be")
    environment = os.environ | {"TMPDIR": str(shared), "RAMPFORGE_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", CUT], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "北京大学" in done.stdout
    assert not any(shared.iterdir())
    if writable:
        assert (cache / "jieba" / "jieba.cache").is_file()
        assert (cache / "jieba").stat().st_mode & 0o077 == 0
