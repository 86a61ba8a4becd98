"""Which number format a scorer computes in, and that the numbers are those of float32 within its rounding."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.assets.store import find_asset
from pipeline.masking import precision
from pipeline.masking.causal_scorer import load_scorer
from pipeline.masking.precision import resolve_precision
from schemas.masking_config import Precision
from tests.pipeline.masking.test_perplexity import list_surprisals, make_contexts

PLAIN, AMX, AVX = "flags\t\t: fpu avx2 avx512f", "flags\t\t: fpu avx2 amx_bf16 amx_tile", "flags : avx512_bf16"


@pytest.mark.parametrize(
    ("lines", "resolved"),
    [
        ([AMX, AMX], Precision.BFLOAT16),
        (["processor : 0", AVX], Precision.BFLOAT16),
        ([AMX, PLAIN], Precision.FLOAT32),
        ([PLAIN], Precision.FLOAT32),
        ([], Precision.FLOAT32),
        (["Features : fp asimd bf16"], Precision.FLOAT32),
    ],
)
def test_auto_follows_the_processor(
    lines: list[str], resolved: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("\n".join(lines))
    monkeypatch.setattr(precision, "CPU_FACTS", tmp_path / "cpuinfo")
    assert resolve_precision(Precision.AUTO) is resolved
    assert resolve_precision(Precision.AUTO, "cuda") is Precision.FLOAT32
    assert resolve_precision(Precision.BFLOAT16) is Precision.BFLOAT16
    monkeypatch.setattr(precision, "CPU_FACTS", tmp_path / "absent")
    assert resolve_precision(Precision.AUTO) is Precision.FLOAT32


@pytest.mark.assets
def test_bfloat16_is_float32_within_its_rounding(assets: Path) -> None:
    path = str(find_asset("smollm2-135m-instruct", assets))
    exact, short = (load_scorer(path, "cpu", "m", p) for p in (Precision.FLOAT32, Precision.BFLOAT16))
    assert (exact.name, short.name) == ("m", "m bfloat16")
    found = list_surprisals(short.score(make_contexts()))
    for scores, near in zip(list_surprisals(exact.score(make_contexts())), found, strict=True):
        assert near == pytest.approx(scores, rel=0.05, abs=0.5)
    assert list_surprisals(short.score(make_contexts()[1:2])) == found[1:2]
