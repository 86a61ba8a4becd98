"""Benchmarks as they are published and as they come damaged: every row is a question or a named reject."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, SourceError
from pipeline.evaluation.benchmark_rows import guess_language
from pipeline.evaluation.benchmarks import (
    Benchmark,
    count_reasons,
    digest_questions,
    draw_sample,
    find_benchmark,
    read_benchmark,
)
from pipeline.evaluation.corpus_files import read_passages
from schemas.evaluations import EvalQuestion
from schemas.funnel import Reject

HOTPOT = {
    "_id": "h1",
    "question": "Which river runs past the home of the maker of the Aurel clock?",
    "answer": "the Oste",
    "type": "bridge",
    "supporting_facts": [["Aurel clock", 0], ["Ida Brandt", 1]],
    "context": [["Aurel clock", ["It was made by Ida Brandt."]]],
}
MUSIQUE = {
    "id": "2hop__1_2",
    "question": "Who leads the town where Ida Brandt was born?",
    "answer": "Jon Vale",
    "answer_aliases": ["J. Vale", "Jon Vale"],
    "answerable": True,
    "paragraphs": [
        {"idx": 0, "title": "Ida Brandt", "paragraph_text": "Born in Tarn.", "is_supporting": True},
        {"idx": 1, "title": "Oste", "paragraph_text": "A river.", "is_supporting": False},
    ],
}
FANOUT = {
    "id": "f1",
    "question": "How many towers has each of the three gates?",
    "answer": {"North Gate": 2, "East Gate": 1.0, "Water Gate": True},
    "decomposition": [{"id": "a", "question": "?", "evidence": {"title": "Gates of Tarn", "pageid": 1}}],
}
FRESH = (
    "WARNING: do not train on this sheet\n\n"
    "id,split,question,effective_year,false_premise,answer_0,answer_1,answer_2,note\n"
    '0,TEST,Who is mayor of Tarn?,2023,FALSE,"Vale, Jon",Jon Vale,,\n'
    "1,TEST,Who was the first mayor of the moon?,never,TRUE,,,,\n"
)
BAMBOOGLE = "Question,Answer\nWho was mayor when the Aurel clock was made?,Nils Lund\n"


def write(path: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read_one(path: Path, content: Any, name: str | None = None) -> EvalQuestion:
    benchmark = read_benchmark(write(path, content), name)
    (question,) = benchmark.questions
    return question


def test_hotpotqa_as_published_and_as_on_the_hub(tmp_path: Path) -> None:
    ours = read_one(tmp_path / "hotpotqa.json", [HOTPOT])
    assert (ours.question_id, ours.dataset, ours.golds) == ("h1", "hotpotqa", (("the Oste",),))
    assert ours.titles == ("Aurel clock", "Ida Brandt")
    facts = {"title": ["Aurel clock", "Ida Brandt"], "sent_id": [0, 1]}
    row = {**HOTPOT, "id": "h1", "supporting_facts": facts, "context": None}
    del row["_id"]
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "hub.parquet")
    assert read_benchmark(tmp_path / "hub.parquet", "hotpotqa").questions == (ours,)


def test_musique_with_aliases_and_supporting_titles(tmp_path: Path) -> None:
    question = read_one(tmp_path / "musique.jsonl.gz", json.dumps(MUSIQUE) + "\n")
    assert question.golds == (("Jon Vale", "J. Vale"),)
    assert question.titles == ("Ida Brandt",)


def test_fanoutqa_answers_have_parts(tmp_path: Path) -> None:
    question = read_one(tmp_path / "fanoutqa.json", [FANOUT])
    assert question.golds == (("North Gate",), ("2",), ("East Gate",), ("1",), ("Water Gate",), ("yes",))
    assert question.titles == ("Gates of Tarn",)


def test_freshqa_sheet_with_a_preamble(tmp_path: Path) -> None:
    benchmark = read_benchmark(write(tmp_path / "freshqa.csv", FRESH))
    assert [question.golds for question in benchmark.questions] == [(("Vale, Jon", "Jon Vale"),)]
    assert count_reasons(benchmark.rejects) == {"no_answer": 1}


def test_bamboogle_sheet_has_ids_from_content(tmp_path: Path) -> None:
    first, again = (read_one(tmp_path / f"{name}.csv", BAMBOOGLE, "bamboogle") for name in "ab")
    assert first == again
    assert first.golds == (("Nils Lund",),)


def test_plain_forms(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "question": "q1?", "golden_answers": ["a", "b", "a"]},
        {"id": "2", "question": "q2?", "answers": ["c"], "supporting_ids": ["p1"], "supporting_titles": ["T"]},
        {"id": "3", "question": "q3?", "answers": {"text": ["d"], "answer_start": [1]}},
        {"question": "谁建造了钟楼？", "answers": ["李明"]},
    ]
    benchmark = read_benchmark(write(tmp_path / "mine.json", {"data": rows}))
    assert [question.golds[0] for question in benchmark.questions] == [("a", "b"), ("c",), ("d",), ("李明",)]
    assert [question.lang for question in benchmark.questions] == ["en", "en", "en", "zh"]
    assert benchmark.questions[1].supporting_ids == ("p1",)


def test_damaged_rows_are_rejected_and_others_read(tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": "1", "question": "q1?", "answers": ["a"]}),
        '{"id": "2", "question": "q2?", "answ',
        "[1, 2]",
        "",
        json.dumps({"id": "4", "question": " ", "answers": ["a"]}),
        json.dumps({"id": "5", "question": "q5?", "answers": []}),
        json.dumps({"id": "6", "question": "q6?", "answers": [None, "  "]}),
        json.dumps({"id": "7", "question": "q7?", "answer": None}),
        json.dumps({"id": "8", "question": "q8?", "answer": "x", "answerable": False}),
        json.dumps({"id": "1", "question": "q1 once more?", "answers": ["a"]}),
        json.dumps({"id": "9", "question": "q9?", "answers": 42}),
    ]
    benchmark = read_benchmark(write(tmp_path / "b.jsonl", "\n".join(lines)))
    assert [question.question_id for question in benchmark.questions] == ["1", "9"]
    assert [(reject.input_id, reject.reason) for reject in benchmark.rejects] == [
        ("line 2", "not_readable"),
        ("line 3", "not_readable"),
        ("line 5", "no_question"),
        ("line 6", "no_answer"),
        ("line 7", "no_answer"),
        ("line 8", "no_answer"),
        ("line 9", "unanswerable"),
        ("line 10", "repeated"),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.jsonl", ""),
        ("broken.json", "[{"),
        ("other.json", '{"a": 1, "b": 2}'),
        ("headless.csv", "a,b\n1,2\n"),
        ("binary.json", "\x00\x01\x02"),
        ("answers.jsonl", '{"question": "q?"}\n{"question": "r?"}'),
    ],
)
def test_files_without_questions_are_one_clear_error(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(SourceError, match=name.partition(".")[0]) as raised:
        read_benchmark(write(tmp_path / name, content))
    assert raised.value.fix


def test_a_torn_archive_and_a_missing_file(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"question": "q?", "answers": ["a"]}\n' * 5000)
    (tmp_path / "torn.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="cannot be read"):
        read_benchmark(tmp_path / "torn.jsonl.gz")
    with pytest.raises(ConfigError, match="no such file"):
        find_benchmark("nowhere.json", tmp_path)
    with pytest.raises(ConfigError, match="musique is not in") as raised:
        find_benchmark("musique", tmp_path)
    assert "StonyBrookNLP" in raised.value.fix
    write(tmp_path / "musique.jsonl", json.dumps(MUSIQUE))
    assert find_benchmark("musique", tmp_path) == tmp_path / "musique.jsonl"


def test_sample_is_independent_of_order() -> None:
    questions = tuple(
        EvalQuestion(question_id=str(n), dataset="d", lang="en", question=f"q{n}?", golds=((str(n),),))
        for n in range(50)
    )
    drawn = draw_sample(questions, 10, 3)
    assert len(drawn) == 10
    assert set(drawn) == set(draw_sample(questions[::-1], 10, 3))
    assert set(drawn) != set(draw_sample(questions, 10, 4))
    assert draw_sample(questions, None, 3) == draw_sample(questions, 50, 3) == questions
    assert digest_questions(questions) == digest_questions(questions[::-1]) == Benchmark("b", questions, ()).digest


def test_languages_are_detected_by_characters() -> None:
    assert guess_language("谁在1999年写了Aurel？") == "zh"
    assert guess_language("Who wrote 红楼梦?") == "en"
    assert guess_language("誰が時計を作った") == "en"


def test_corpora_from_outside(tmp_path: Path) -> None:
    rows = [
        {"id": "p1", "title": "Tarn", "text": "A town."},
        {"id": 2, "contents": '"Oste"\nA river.'},
        {"id": "p1", "title": "Tarn", "text": "Again."},
        {"id": "p4", "title": "Empty", "text": " "},
    ]
    read = list(read_passages(write(tmp_path / "c.jsonl", "\n".join(map(json.dumps, rows))), "en"))
    assert [(p.passage_id, p.title, p.text) for p in read if not isinstance(p, Reject)] == [
        ("p1", "Tarn", "A town."),
        ("2", "Oste", "A river."),
    ]
    assert [row.reason for row in read if isinstance(row, Reject)] == ["repeated", "no_text"]


@pytest.mark.shared
def test_every_row_of_the_real_files_is_read(shared_data: Path) -> None:
    expected = {"qa_dev": 196, "bamboogle": 125, "hotpot_dev_500": 500, "fanoutqa_dev": 310, "freshqa_2023": 600}
    counts = Counter({name: len(read_benchmark(shared_data / f"{name}.jsonl.gz").questions) for name in expected})
    assert counts == expected
