"""Hidden mentions: what is one, that nothing of an answer is left, and that the page comes back exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.agents.extractive.filling import write_filling
from pipeline.agents.extractive.restoration import restore_masks
from pipeline.agents.extractive.solver import put_gap
from pipeline.agents.llm_prompts import list_prompts, write_plan
from pipeline.agents.roles import TrajectoryProgress, open_task
from pipeline.agents.trajectory_stage import write_requests
from pipeline.evidence.finder import EvidenceFinder
from pipeline.judging.llm_judge import JudgeQuestion, write_question
from pipeline.judging.order_free import group_masks
from pipeline.masking.filters import check_passage
from pipeline.masking.mentions import (
    HiddenSpan,
    blank_mentions,
    clash,
    find_mentions,
    hide_question,
    list_texts,
    write_context,
)
from pipeline.masking.span_stage import SpanStage
from pipeline.masking.task_stage import build_task
from pipeline.rendering.task_text import describe_repeats, number_masks
from pipeline.rendering.transcript import ask
from pipeline.report.text_pieces import cut_at_masks
from schemas.documents import Link
from schemas.masking_config import MaskingConfig, Selection
from schemas.passages import Passage
from schemas.tasks import GAP, MASK, REPEAT, AnswerStyle, Span, SpanSet
from schemas.trajectories import HideMode
from tests.support.oracle_samples import index_passages
from tests.support.passage_samples import make_passage
from tests.support.trajectory_samples import make_span


def make_page(text: str, title: str = "T", section: tuple[str, ...] = (), lang: str = "en") -> Passage:
    return make_passage(0, text, 0, lang, title).model_copy(update={"section": section})


def make_answer(text: str, at: int, aliases: tuple[str, ...] = (), label: str = "PERSON") -> Span:
    return make_span(text, at).model_copy(update={"aliases": aliases, "label": label})


@pytest.mark.parametrize(
    ("text", "answer", "aliases", "shown"),
    [
        ("#Ada Byron# met Babbage. Ada Byron wrote.", "Ada Byron", (), "[mask] met Babbage. [=mask 1] wrote."),
        ("#Ada Byron# wrote. Byron left.", "Ada Byron", (), "[mask] wrote. [=mask 1] left."),
        ("#Ada Byron# wrote. Mrs. Byron left.", "Ada Byron", (), "[mask] wrote. Mrs. [=mask 1] left."),
        ("#Ada Byron# wrote. George Byron left.", "Ada Byron", (), "[mask] wrote. George Byron left."),
        ("#Ada Byron# wrote of Byron Bay.", "Ada Byron", (), "[mask] wrote of Byron Bay."),
        ("#Ada# saw Adair, adagio and ADA's Ada.", "Ada", (), "[mask] saw Adair, adagio and [=mask 1]'s [=mask 1]."),
        ("In #May# it may rain, May be.", "May", (), "In [mask] it may rain, [=mask 1] be."),
        ("#Iron# and iron.", "Iron", ("iron",), "[mask] and [=mask 1]."),
        ("#Ada# of Ada Byron.", "Ada", ("Ada Byron",), "[mask] of [=mask 1]."),
        ("#Ada##Ada#", "Ada", (), "AdaAda"),
        ("12 km,#12 km#; 1.12 km, 12 km.", "12 km", (), "[=mask 1],[mask]; 1.12 km, [=mask 1]."),
        (
            "In #1990#, 1,990 and 1990s and 1990.5, 1990.",
            "1990",
            (),
            "In [mask], 1,990 and 1990s and 1990.5, [=mask 1].",
        ),
        ("Café #Cafe\u0301# Cafe Cafe\u0301s.", "Cafe\u0301", (), "Café [mask] Cafe Cafe\u0301s."),
        ("#New  York# and New\u00a0York.", "New  York", (), "[mask] and [=mask 1]."),
        (
            "石湾的#陈若舟#，陈若舟生于在London的石湾。",
            "陈若舟",
            ("London",),
            "石湾的[mask]，[=mask 1]生于在[=mask 1]的石湾。",
        ),
    ],
)
def test_mentions(text: str, answer: str, aliases: tuple[str, ...], shown: str) -> None:
    if "##" in text:  # a mention that touches another word is none
        passage = make_page("AdaAda")
        assert find_mentions(passage, (0, 3), ("Ada",), "PERSON") == ((), ())
        return
    at = text.index("#")
    passage = make_page(text.replace("#", ""))
    task = build_task(passage, [make_answer(answer, at, aliases)], AnswerStyle.SPANS, mentions=True)
    assert task.masked_text == shown
    assert task.fill([answer]) == passage.text


def test_title_and_headings_are_hidden_too() -> None:
    passage = make_page(
        "Born in Rome, #Ada Byron# wrote.".replace("#", ""), "Ada Byron (poet)", ("Life", "Byron’s end")
    )
    task = build_task(passage, [make_answer("Ada Byron", 14)], AnswerStyle.SPANS, mentions=True)
    assert (task.title, task.section) == ("[=mask 1] (poet)", ("Life", "[=mask 1]’s end"))
    assert task.page_title == passage.title
    assert [mention.text for mention in task.mentions] == ["Ada Byron", "Byron"]
    plain = build_task(passage, [make_answer("Ada Byron", 14)], AnswerStyle.SPANS)
    assert (plain.title, plain.section, plain.mentions) == (passage.title, passage.section, ())
    assert plain.task_id != task.task_id


def test_other_answers_fill_mentions_as_well() -> None:
    passage = make_page("Ada Byron met Rome. Byron saw Rome.")
    spans = [make_answer("Ada Byron", 0), make_answer("Rome", 14, label="GPE")]
    task = build_task(passage, spans, AnswerStyle.SPANS, mentions=True)
    assert task.masked_text == "[mask] met [mask]. [=mask 1] saw [=mask 2]."
    assert task.fill(["X [=mask 2]", "Rome"]) == "X [=mask 2] met Rome. X [=mask 2] saw Rome."


@pytest.mark.parametrize("label", ["cardinal", "ordinal"])
def test_a_bare_figure_has_no_mentions(label: str) -> None:
    assert find_mentions(make_page("12 and 12"), (0, 2), ("12",), label) == ((), ())
    assert find_mentions(make_page("12 km and 12 km"), (0, 5), ("12 km",), "quantity") == ((), ((10, 15),))


@pytest.mark.parametrize("text", ["a [=mask 1] b", "[=mask 12]"])
def test_a_page_with_the_placeholder_is_not_masked(text: str) -> None:
    for passage in (make_page(text), make_page("x", title=text), make_page("x", section=(text,))):
        assert check_passage(passage) == "contains_mask"
    assert check_passage(make_page("a [=mask] b")) is None


def test_spans_that_cut_each_others_mentions_clash() -> None:
    def hide(text: str, one: tuple[int, str], other: tuple[int, str]) -> bool:
        passage = make_page(text)
        hidden = [
            HiddenSpan((at, at + len(form)), find_mentions(passage, (at, at + len(form)), (form,), "GPE"))
            for at, form in (one, other)
        ]
        return clash(*hidden)

    assert not hide("York by Rome. York, Rome.", (0, "York"), (8, "Rome"))
    assert not hide("York by York City. York.", (0, "York"), (8, "York City"))
    assert hide("York by York.", (0, "York"), (8, "York"))
    assert hide("New York, York City, New York City.", (0, "New York"), (10, "York City"))


WORDS = {
    "en": (["Ada", "Ada Byron", "Byron", "byron", "Adair", "Rome", "New Rome", "12", "12,000", "of", "-", ","], " "),
    "zh": (["陈若舟", "若舟", "石湾", "石湾大桥", "London", "的", "，", "12"], ""),
}  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(["en", "zh"]))
def test_pages_come_back_exactly_and_nothing_of_an_answer_is_left(data: st.DataObject, lang: str) -> None:
    words, gap = WORDS[lang]
    draw = st.lists(st.tuples(st.sampled_from(words), st.sampled_from([gap, gap, "", "\n", "[", "mask"])), max_size=14)
    title, heading, text = ("".join(f"{word}{between}" for word, between in data.draw(draw)) for _ in range(3))
    passage = make_page(text, title or "T", (heading,), lang)
    if check_passage(passage):
        return
    bounds = sorted({place for word in words for place in find_mentions(passage, (-1, -1), (word,), "GPE")[-1]})
    wanted = data.draw(st.lists(st.sampled_from(bounds), max_size=4, unique=True)) if bounds else []
    spans, hidden = list[Span](), list[HiddenSpan]()
    for start, end in sorted(wanted):
        aliases = tuple(data.draw(st.lists(st.sampled_from(words), max_size=2, unique=True)))
        span = make_answer(text[start:end], start, tuple(a for a in aliases if a != text[start:end]))
        one = HiddenSpan((start, end), find_mentions(passage, (start, end), span.forms, span.label))
        if all(other.bounds[1] <= start and not clash(one, other) for other in hidden):
            spans.append(span)
            hidden.append(one)
    if not spans:
        return
    task = build_task(passage, spans, AnswerStyle.SPANS, mentions=True)
    assert task.masked_text.count(MASK) == len(spans)
    assert task.fill([span.text for span in spans]) == text
    assert task.page_title == passage.title
    assert len(task.mentions) == sum(len(REPEAT.findall(t)) for t in (task.title, *task.section, task.masked_text))
    # Nothing that is a mention of an answer is left in what is shown.
    shown = make_page(
        GAP.sub("\n", task.masked_text), GAP.sub("\n", task.title), (GAP.sub("\n", task.section[0]),), lang
    )
    for span in spans:
        assert not any(find_mentions(shown, (-1, -1), span.forms, "GPE"))
    for one in hidden:
        blank = blank_mentions(passage, one.places)
        assert list(map(len, list_texts(blank))) == list(map(len, list_texts(passage)))
    _, context, places = write_context(passage, hidden)
    assert [context[slice(*place)] for place in places] == [span.text for span in spans]
    assert hide_question(passage, [HiddenSpan(one.bounds, ()) for one in hidden]).texts[:2] == (passage.title, heading)


def test_prompts_say_what_the_placeholders_are_where_there_are_any() -> None:
    passage = make_page("Ada Byron met Rome. Byron left.", "Ada Byron")
    spans = [make_answer("Ada Byron", 0)]
    hidden, plain = (build_task(passage, spans, AnswerStyle.SPANS, mentions=on) for on in (True, False))
    question = ask(hidden)
    assert question.text.startswith("[=mask 1]\n[mask 1] met Rome. [=mask 1] left.\n")
    assert "Byron" not in question.text
    assert ask(plain).text == "Ada Byron\n[mask 1] met Rome. Byron left."
    task = open_task(hidden)
    assert task.texts == ("", "", "", " met Rome. ", " left.")
    assert (task.repeats, open_task(plain).repeats) == (True, False)
    note = describe_repeats((question.text,), "en")
    plans = [write_plan(TrajectoryProgress(open_task(one), 0), 3) for one in (hidden, plain)]
    assert [note in plan for plan in plans] == [True, False]
    judged = [JudgeQuestion("en", t.title, t.section, t.masked_text, 0, ("Ada",), "Ada") for t in (hidden, plain)]
    assert [note in write_question(one) for one in judged] == [True, False]
    assert {"repeated_gaps.en"} == {
        use.name for use in set(list_prompts("en", False, repeats=True)) - set(list_prompts("en", False))
    }


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_question_of_an_export_is_read_again(lang: str) -> None:
    passage = make_page("Ada Byron met Rome. Byron left.", "Ada Byron", lang=lang)
    task = build_task(passage, [make_answer("Ada Byron", 0)], AnswerStyle.SPANS, mentions=True)
    text = ask(task).text
    note = describe_repeats((text,), lang)
    assert note
    assert text.removesuffix(note) == "[=mask 1]\n[mask 1] met Rome. [=mask 1] left."
    assert not list(group_masks(text, 1))


def test_the_source_is_recognised_by_the_whole_title() -> None:
    passage = make_page("Ada Byron met Rome.", "Ada Byron")
    task = build_task(passage, [make_answer("Ada Byron", 0)], AnswerStyle.SPANS, mentions=True)
    (request,) = write_requests(task, HideMode.PAGE, ["q"])
    assert (request.title, request.text) == (passage.title, passage.text)


def test_a_hidden_mention_is_a_piece_of_its_own() -> None:
    pieces = cut_at_masks("[=mask 1] <b> [mask] [=mask 1].")
    assert [(piece.text, piece.mask, piece.repeats) for piece in pieces if piece.text or piece.mask is not None] == [
        ("[=mask 1]", None, 0), (" <b> ", None, None), ("", 0, None), (" ", None, None), ("[=mask 1]", None, 0),
        (".", None, None),
    ]  # fmt: skip


def test_agents_read_past_placeholders() -> None:
    assert restore_masks("[=mask 1] was born in [mask] by [=mask 1].", "Ada was born in Rome by Ada.") == {0: (16, 20)}
    filling = write_filling("[=mask 1]", "x [=mask 1] y [mask] z", 0, ("a",), {})
    assert (filling.title, filling.before, filling.after) == ("…", "x … y ", " z")
    assert put_gap("Who is [=mask 1]?", "en").count("[=mask") == 0
    assert number_masks("[=mask 1] [ =mask 2] [=mask] [mask]") == "[=mask 1] ( =mask 2] (=mask] [mask 1]"


@pytest.mark.parametrize("on", [False, True])
def test_mentions_count_as_given_away_only_while_they_are_shown(on: bool) -> None:
    text = "Ada Byron met Rome in 1843. Later Byron saw Turin, and Rome fell."
    config = MaskingConfig(ner=None, links=True, scorer=None, selection=Selection.RANDOM, hide_mentions=on)
    passage = make_page(text).model_copy(
        update={"links": (Link(start=14, end=18, target="Rome"), Link(start=44, end=49, target="Turin"))}
    )
    (outcome,) = SpanStage(config).run([passage])
    (row,) = (row for row in outcome.rows if isinstance(row, SpanSet))
    assert ["Rome" in [span.text for span in row.spans], {span.text for span in row.spans} - {"Rome"}] == [
        on,
        {"1843", "Turin"},
    ]


def test_of_several_mentions_the_first_is_asked_for() -> None:
    config = MaskingConfig(ner=None, links=False, scorer=None, selection=Selection.RANDOM, hide_mentions=True)
    (outcome,) = SpanStage(config).run([make_page("It fell in 1843 and 1843, and rose in 1843.")])
    (row,) = (row for row in outcome.rows if isinstance(row, SpanSet))
    assert [(span.start, span.text) for span in row.spans] == [(11, "1843")]


def test_clues_of_a_hidden_title_are_none(tmp_path: Path) -> None:
    texts = ["Dervin opened Kasrok.", "Kasrok: Dervin Lumvin Felmel was there.", *(f"Stone {n}." for n in range(300))]
    titles = ["Dervin Lumvin", *(f"Page {n}" for n in range(301))]
    passages = [
        make_passage(n, text, n, title=title) for n, (text, title) in enumerate(zip(texts, titles, strict=True))
    ]
    finder = EvidenceFinder(index_passages(tmp_path, passages), 2)
    source, forms = passages[0], ("Dervin", "Dervin Lumvin")
    hidden = blank_mentions(source, find_mentions(source, (0, 6), forms, "PERSON"))
    assert hidden.title.strip() == ""
    (shown,) = finder.find(source, [(0, forms)])
    assert [found.clues for found in shown] == [("kasrok", "lumvin")]
    assert finder.find(source, [(0, forms)], [hidden]) == [()]
