"""What show-mask shows is what is trained; rows that must not be trained on are errors."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.cli.show_mask import MaskFaultError
from pipeline.exporting.mask_view import build_page, view_row
from pipeline.rendering.token_masks import MaskError, TokenRow, TokenRun, find_fault
from pipeline.storage.run_folder import RunFolder
from schemas.exports import Trainer
from schemas.renderings import RenderingName, SegmentKind
from tests.support.export_samples import export_sample, make_run, open_sample_masker

pytestmark = pytest.mark.assets

MODEL = ["--tokenizer", "smollm2-135m-instruct"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run") / "sample", pages=4)


def show(*words: str) -> Result:
    return CliRunner().invoke(app, ["show-mask", *words, *MODEL])


def test_a_row_of_a_run_is_coloured_and_counted(run: RunFolder, tmp_path: Path) -> None:
    page = tmp_path / "mask.html"
    shown = show(str(run.root), "--html", str(page), "--rows", "2")
    assert shown.exit_code == 0, shown.exception
    assert "observation  0 trained" in shown.stdout
    assert "tokens carry loss" in shown.stdout
    html = page.read_text("utf-8")
    assert html.count('<div class="row">') == 2
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    row = html.split('<div class="row">')[1].split("</div>")[0]
    on = "".join(re.findall(r'<span class="\w+ on">(.*?)</span>', row, re.DOTALL))
    text = unescape(re.sub(r"</?i>", "", on))
    assert text.startswith("<think>Which year is meant?</think>")
    assert text.endswith("<answer>1868</answer><|im_end|>")
    assert "Doc 1(" not in text
    assert "&lt;information&gt;" in row


def test_the_page_escapes_and_shows_every_token() -> None:
    tokenizer = open_sample_masker().tokenizer
    ids = tokenizer("<script>alert(1)</script> 北京 \u202e &amp;", add_special_tokens=False)["input_ids"]
    row = TokenRow(ids, [TokenRun(SegmentKind.PROMPT, False, 2), TokenRun(SegmentKind.ANSWER, True, len(ids) - 2)])
    view = view_row("<b>name</b>", row, tokenizer)
    assert "".join(cell.text for cell in view.cells) == tokenizer.decode(ids)
    assert (view.tokens, view.trained, view.whole) == (len(ids), len(ids) - 2, None)
    html = build_page([view], "<i>title</i>")
    assert "<script>alert" not in html
    assert "<b>" not in html
    assert "\u202e" not in html
    assert "北" in html
    assert "⟦U+202E⟧" in html


def test_exported_rows_are_shown_by_their_labels(run: RunFolder, tmp_path: Path) -> None:
    export_sample(run, tmp_path, Trainer.TRL, tokenised=True, split=0.0)
    path = tmp_path / "sft" / "train.parquet"
    assert show(str(path)).exit_code == 0
    table = pq.read_table(path)
    seen = table.set_column(table.schema.get_field_index("labels"), "labels", table["input_ids"])
    for labels, reason in (
        (table["input_ids"], "trained_"),
        (pa.array([[-100] * len(ids) for ids in table["input_ids"].to_pylist()]), "nothing_trained"),
        (pa.array([[-100]] * len(table)), "lengths_differ"),
    ):
        bent = seen.set_column(seen.schema.get_field_index("labels"), "labels", labels)
        pq.write_table(bent, tmp_path / "bent.parquet")
        shown = show(str(tmp_path / "bent.parquet"))
        assert isinstance(shown.exception, MaskFaultError)
        assert reason in str(shown.exception)


def test_observations_are_trained_on_only_where_that_is_meant(run: RunFolder, tmp_path: Path) -> None:
    export_sample(run, tmp_path, Trainer.AXOLOTL, tokenised=True, split=0.0, train_observations=True)
    path = str(tmp_path / "train.parquet")
    shown = show(path)
    assert isinstance(shown.exception, MaskFaultError)
    assert "trained_observation" in str(shown.exception)
    assert "--train-observations" in shown.exception.fix
    assert show(path, "--train-observations").exit_code == 0


def test_a_fault_is_found_in_runs_alone() -> None:
    assert find_fault([TokenRun(SegmentKind.ANSWER, True, 1)]) is None
    for kind, reason in ((SegmentKind.PROMPT, "trained_prompt"), (SegmentKind.OBSERVATION, "trained_observation")):
        fault = find_fault([TokenRun(SegmentKind.ANSWER, True, 1), TokenRun(kind, True, 1)])
        assert isinstance(fault, MaskError)
        assert fault.reason == reason
    empty = find_fault([TokenRun(SegmentKind.ANSWER, True, 0)])
    assert empty is not None
    assert empty.reason == "nothing_trained"


def test_bad_input_is_one_line(run: RunFolder, tmp_path: Path) -> None:
    wrong = show(str(run.root), "--row", "t0-0-wrong")
    assert "not_accepted" in str(wrong.exception)
    assert "has no row" in str(show(str(run.root), "--row", "nobody").exception)
    assert "Parquet file" in str(show(str(tmp_path / "missing")).exception)
    export_sample(run, tmp_path, Trainer.TRL, rendering=RenderingName.QWEN_TOOLS)
    assert "not contain tokens" in str(show(str(tmp_path / "sft" / "train.parquet")).exception)
    assert "tools" in str(show(str(run.root), "--rendering", "openai-tools").exception)
