"""Rendering, masking and writing against the bare tokenizer on the same text; memory against ten times the rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from pipeline.exporting.examples import ExampleSpill
from pipeline.exporting.registry import EXPORTERS
from pipeline.exporting.samples import Sample, make_samples, render_example
from pipeline.exporting.selection import ExampleIndex
from pipeline.exporting.spec import RowPlace
from pipeline.exporting.statistics import ExportStatistics
from pipeline.exporting.table_files import TableFile
from pipeline.rendering.chat_template import INLINE
from pipeline.rendering.chat_text import ChatText
from pipeline.rendering.token_masks import TokenMasker
from schemas.exports import ExportSettings, Purpose, Split, Trainer, TrainingExample
from schemas.passages import Passage
from schemas.renderings import QuestionKind, RenderedQuestion, RenderingName, ShownDocument, Step, Transcript
from schemas.trajectories import HideMode
from tests.bench.figures import Figure, compare_cpu, run_apart
from tests.bench.sample import cut_sample, draw_passages, find_asset_path

ROWS = 192
BATCH = 64
FORMATS = (RenderingName.SEARCH_R1, RenderingName.QWEN_TOOLS)
SHOWN = 5


def run() -> list[Figure]:
    """All figures of this benchmark."""
    passages = draw_passages(cut_sample(128), 400)
    examples = list(islice(make_examples(passages), ROWS))
    tokenizer = load_tokenizer()
    figures = []
    for rendering in FORMATS:
        settings = ExportSettings(trainer=Trainer.TRL, rendering=rendering, tokenizer="x")
        masker, chat = TokenMasker(tokenizer), ChatText(tokenizer)
        texts = [
            "".join(stretch.text for stretch in chat.write(render_example(example, rendering))) for example in examples
        ]

        def bare(texts: list[str] = texts) -> None:
            for at in range(0, len(texts), BATCH):
                tokenizer(texts[at : at + BATCH], add_special_tokens=False)

        def ours(settings: ExportSettings = settings, masker: TokenMasker = masker) -> None:
            write(examples, settings, masker)

        mine, _, ratio = compare_cpu(ours, bare)
        figures.append(Figure(f"{rendering}: rows as tokens", len(examples) / mine, "rows/s of one core"))
        figures.append(Figure(f"{rendering} / bare tokenizer", 1 / ratio, "x", "<= 1.3"))
    with tempfile.NamedTemporaryFile("w") as file:
        file.writelines(passage.model_dump_json() + "\n" for passage in passages)
        file.flush()
        runs = [run_apart("tests.bench.export", "export_many", file.name, str(ROWS * n)) for n in (3, 30)]
    peaks = [run["peak_mb"] for run in runs]
    figures.append(Figure("peak memory, ten times the rows", peaks[1] / peaks[0], "x", "<= 1.2", f"{peaks[1]:.0f} MB"))
    return figures


def write(examples: list[TrainingExample], settings: ExportSettings, masker: TokenMasker) -> None:
    """Render, mask and write."""
    table = EXPORTERS[settings.trainer].build_tables(settings.rendering, INLINE)[0]
    statistics = ExportStatistics()
    with tempfile.TemporaryDirectory() as folder, TableFile(Path(folder) / "rows", table.schema, {}) as file:
        for at in range(0, len(examples), BATCH):
            for sample in make_samples(examples[at : at + BATCH], settings, Purpose.SFT, masker):
                assert isinstance(sample, Sample)
                file.append(table.write(sample, RowPlace(Split.TRAIN, file.rows)))
                statistics.count(sample, Split.TRAIN)


def export_many(source: str, rows: str) -> dict[str, float]:
    """Spill, choose and write so many rows made of the passages in a file; for a process of its own."""
    passages = [Passage.model_validate_json(line) for line in Path(source).read_text().splitlines()]
    settings = ExportSettings(trainer=Trainer.TRL, rendering=RenderingName.SEARCH_R1, tokenizer="x")
    masker, index = TokenMasker(load_tokenizer()), ExampleIndex(settings)
    with tempfile.TemporaryFile() as file:
        spill = ExampleSpill(file)
        for example in islice(make_examples(passages), int(rows)):
            index.append(example, spill.append(example))
        kept = index.choose(Purpose.SFT).splits[Split.TRAIN]
        examples = spill.read(index.places(kept))
        while batch := list(islice(examples, BATCH)):
            write(batch, settings, masker)
    return {"rows": float(len(kept))}


def load_tokenizer() -> Any:
    """SmolLM2's."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(find_asset_path("smollm2-135m-instruct"))


def make_examples(passages: list[Passage]) -> Iterator[TrainingExample]:
    """Examples without end, made of real passages: two steps that show five each."""
    for number, passage in enumerate(cycle(passages)):
        around = [passages[(number * 7 + n) % len(passages)] for n in range(2 * SHOWN)]
        yield make_example(number, passage, around)


def make_example(number: int, passage: Passage, around: list[Passage]) -> TrainingExample:
    """One example."""
    words = passage.text.split()
    shown = [ShownDocument(title=other.title, text=" ".join(other.text.split())) for other in around]
    steps = tuple(
        Step(think=" ".join(words[:40]), queries=tuple(" ".join(words[n : n + 8]) for n in (0, 5, 9)), documents=docs)
        for docs in (tuple(shown[:SHOWN]), tuple(shown[SHOWN:]))
    )
    return TrainingExample(
        trajectory_id=f"{number:020x}",
        task_id=f"{number:020x}",
        document_id=passage.document_id,
        page_id=passage.page_id,
        passage_id=passage.passage_id,
        title=passage.title,
        policy="bench",
        accepted=True,
        hide=HideMode.PASSAGE,
        shortcut=False,
        shown=(),
        mask_kinds=(),
        difficulties=(),
        difficulty=1.0,
        golds=((words[-1],),),
        question=RenderedQuestion(kind=QuestionKind.RAMP, lang="en", text=f"{number} {passage.text}", answers=1),
        transcript=Transcript(steps=steps, think=" ".join(words[-30:]), answers=(words[-1],)),
        fault=None,
    )
