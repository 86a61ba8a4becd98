"""Half facts: no span of any source is a part of a date, a measure or a number that goes on beside it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.masking import filters
from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.filters import SpanFilter
from pipeline.masking.half_facts import PLAIN_SPACES, is_half_fact
from pipeline.masking.rules import find_rule_spans, split_rule_spans
from pipeline.masking.words import Roots
from schemas.masking_config import MaskingConfig, Selection
from schemas.tasks import SpanKind, SpanSource
from tests.support.growth import LINEAR, cpu_growth
from tests.support.passage_samples import make_passage

WHOLE = [
    ("en", "published at 1:200,000, one per region", ["1:200,000"]),
    ("en", "a gauge of 3 ft 6 in (1,067 mm) on it", ["3 ft 6 in (1,067 mm)"]),
    ("en", "gauge of 1,067 mm (3 ft 6 in) on it", ["1,067 mm (3 ft 6 in)"]),
    ("en", "and 10 000 km of paths", ["10 000 km"]),
    ("en", "and 10\u202f000\u00a0km of paths", ["10\u202f000\u00a0km"]),
    ("en", "two million five hundred thousand lire", ["two million five hundred thousand"]),
    ("en", "in the 1990/91 season", ["1990/91"]),
    ("en", "born 1722/23, moved in 1967/8 and 1990/1991", ["1722/23", "1967/8", "1990/1991"]),
    ("en", "He is 6 ft 2 in (188 cm) tall", ["6 ft 2 in (188 cm)"]),
    ("en", "A 6'11\" center", ["6'11\""]),
    ("en", "d. 20 March 851 in Tours", ["20 March 851"]),
    ("en", "on September 24, 936, he", ["September 24, 936"]),
    ("en", "(1740 – 25 February 1802) was", ["1740", "25 February 1802"]),
    ("en", "ignited at 69 hours, 8 minutes, and 16 seconds after", ["69 hours, 8 minutes, and 16 seconds"]),
    ("en", "takes between three and four weeks to", ["three and four weeks"]),
    ("en", "between 1450 and 1475 kg of it", ["1450 and 1475 kg"]),
    ("en", "weighs 5 lb 3 oz at birth", ["5 lb 3 oz"]),
    ("en", "is 5 ft 10+1⁄2 in (1.79 m) tall", ["5 ft 10+1⁄2 in (1.79 m)"]),
    ("en", "a man of five foot ten and", []),
    ("en", "a density of 25/km2 (65/sq mi) there", ["25/km2 (65/sq mi)"]),
    ("en", "sold for ₹5 crore and Rs. 500 lakh", ["₹5 crore", "Rs. 500 lakh"]),
    ("en", "in the late 18th and early 19th centuries", ["18th and early 19th centuries"]),
    ("en", "a share of 5.5% to 6.5% of all", ["5.5% to 6.5%"]),
    ("en", "rose from 5% to 10% there", ["5%", "10%"]),
    ("en", "between 5% and 10% of them", ["5% and 10%"]),
    ("en", "between −40 °C to +50 °C there", ["−40 °C to +50 °C"]),
    ("en", "grew from 5 km to 10 km there", ["5 km", "10 km"]),
    ("en", "fell to minus 40 degrees Celsius", []),
    ("en", "open 8 to 10 a.m. daily", ["8 to 10 a.m."]),
    ("en", "ran it in 9.58 s (0.9 m/s wind)", ["9.58 s", "0.9 m/s"]),
    ("en", "call +1 202 555 0100 now", []),
    ("en", "on 1 January 1977 00:00:32 exactly", ["1 January 1977", "00:00:32"]),
    ("en", "ions of 164 pm and 152 pm", ["164", "152"]),
    ("zh", "身高6英尺2英寸（188厘米）。", ["6英尺2英寸（188厘米）"]),
    ("zh", "面积960万平方公里（371万平方英里）。", ["960万平方公里（371万平方英里）"]),
    ("zh", "历时3小时25分18秒，", ["3小时25分18秒"]),
    ("zh", "跑出12秒88的成绩", ["12秒88"]),
    ("zh", "历时3年6个月，增长5.5个百分点", ["3年6个月", "5.5个百分点"]),
    ("zh", "历时三年零六个月，九时三十分播出", []),
    ("zh", "约三百五十万至四百万人", ["三百五十万至四百万人"]),
    ("zh", "占5%～7%，海拔26米至31米", ["5%～7%", "26米至31米"]),
    ("zh", "从5%到7%，从31°C到40°C", ["5%", "7%", "31°C", "40°C"]),
    ("zh", "3.5万至4万，第1座至第5座", ["3.5万至4万", "第1座至第5座"]),
    ("zh", "第三季度，3又1/2英里", ["第三季度", "3又1/2英里"]),
    ("zh", "港币1,000元，7、8月间，20幾所", ["港币1,000元"]),
    ("zh", "天正12年（1584年），33,700人（2008年）", ["12年", "1584年", "33,700人", "2008年"]),
    ("zh", "1989年六四天安門", ["1989年"]),
    ("zh", "民國三十六年11月21日至23日", ["民國三十六年11月21日至23日"]),
    ("zh", "公元前221年至前206年，1990年代", ["公元前221年至前206年", "1990年代"]),
    ("zh", "平均41.5分，数值6分别是", ["41.5分", "6"]),
    ("en", "a field of 4 ft 8½ in (1,435 mm)", ["4 ft 8½ in (1,435 mm)"]),
    ("en", "nearly 2 1/2 hours later", ["2 1/2 hours"]),
    ("en", "three and a half years in", ["three and a half years"]),
    ("en", "on 5 and 6 May 1412 he", ["5 and 6 May 1412"]),
    ("en", "from 30 June to 22 July 2007 in", ["30 June to 22 July 2007"]),
    ("en", "in March 44 BC when", ["March 44 BC"]),
    ("en", "(384 BC–322 BC)", ["384 BC", "322 BC"]),
    ("en", "about 4 × 100 metres", ["4 × 100 metres"]),
    ("en", "found at ≥42 of them", ["≥42"]),
    ("en", "it grossed$ 40.6 million", ["$ 40.6 million"]),
    ("en", "between 64 and 75 °F (18 and 24 °C) there", ["64 and 75 °F (18 and 24 °C)"]),
    ("en", "winter of 1779–80 was", ["winter of 1779–80"]),
    ("en", "ran it in 2 h 30 min", ["2 h 30 min"]),
    ("en", "9.81 m s−2 or 0.5 mg/mL", ["9.81 m s−2", "0.5 mg/mL"]),
    ("en", "three quarters of a million men", []),
    ("en", "in the 1960s–70s", ["1960s–70s"]),
    ("en", "USD 5 million, £3 10s 6d", ["USD 5 million", "£3 10s 6d"]),
    ("en", "between $5 and $10 million", ["$5 and $10 million"]),
    ("en", "one to two million, twenty percent", ["one to two million", "twenty percent"]),
    ("en", "AD 500 to 600, at 8 p.m.", ["AD 500 to 600", "8 p.m."]),
    ("fr", "sur 10 000 km et 1 234,5 km", ["10 000 km", "1 234,5 km"]),
    ("en", "two or three years, and tends to", ["two or three years"]),
    ("zh", "约4万5千人居住", ["4万5千人"]),
    ("zh", "达到408萬588輛，", ["408萬588輛"]),
    ("zh", "叶长5-50公分，", ["5-50公分"]),
    ("zh", "比例为1:2，", ["1:2"]),
    ("zh", "每天上午9:30至下午", ["9:30"]),
    ("zh", "民國16年2月底", ["民國16年2月"]),
    ("zh", "8月22日至8月25日召开", ["8月22日至8月25日"]),
    ("zh", "于1997-98賽季", ["1997-98"]),
    ("zh", "大约1/3的人", ["1/3"]),
    ("zh", "占三分之二的", ["三分之二"]),
    ("zh", "有四分之一磅牛肉", ["四分之一磅"]),
    ("zh", "身高2米11。100元5角", ["2米11", "100元5角"]),
    ("zh", "共10 000公里，零下20度", ["10 000公里", "零下20度"]),
    ("zh", "光绪二十四年八月初六，第3-5名", ["光绪二十四年八月初六", "第3-5名"]),
    ("zh", "公元前221年统一", ["公元前221年"]),
    ("zh", "全长三十二点五公里", ["三十二点五公里"]),
    ("zh", "（1546年－1618年9月28日）", ["1546年", "1618年9月28日"]),
]


@pytest.mark.parametrize(("lang", "text", "expected"), WHOLE)
def test_facts_are_found_whole(lang: str, text: str, expected: list[str]) -> None:
    assert [text[c.start : c.end] for c in find_rule_spans(text, lang)] == expected


@pytest.mark.parametrize(
    ("lang", "before", "span", "after"),
    [
        ("en", "tied for ", "6", "–7th in Vienna"),
        ("en", "at 29 ° 34 ′ ", "58", " ″ N"),
        ("en", "in ", "Boeing 747", "-400 aircraft"),
        ("en", "a scale of 1:", "200,000", " or so"),
        ("en", "stands ", "6 ft", " 2 in tall"),
        ("en", "the ", "20 March", " 851 sources"),
        ("en", "5 ", "May 1990", " was"),
        ("en", "of ", "two million", " five hundred"),
        ("en", "of two ", "hundred", " men"),
        ("en", "at −", "5", " degrees"),
        ("en", "for $", "40", " or so"),
        ("en", "version 3.", "1", " of it"),
        ("en", "in ", "1990", "/91"),
        ("zh", "约", "4万", "5千人"),
        ("zh", "比例为1:", "2", "，"),
        ("zh", "至元", "二十六年", "六月初四"),
        ("zh", "该线唯", "一一辆", "巴士"),
        ("zh", "身高", "2米", "11的他"),
    ],
)
@pytest.mark.parametrize("source", list(SpanSource))
def test_a_half_fact_of_any_source_is_dropped(
    lang: str, before: str, span: str, after: str, source: SpanSource
) -> None:
    text = before + span + after
    passage = make_passage(1, text, 1, lang, "Zz")
    candidate = SpanCandidate(len(before), len(before) + len(span), SpanKind.NUMBER, "x", source)
    judge = SpanFilter(passage, Roots(lang), MaskingConfig(scorer=None, selection=Selection.RANDOM, min_chars=1))
    assert judge.check(candidate, ()) == filters.HALF_FACT


NUMBERS = st.sampled_from(
    ["5", "12", "000", "1990", "851", "4.5", "1,067", "3½", "two", "hundred", "million", "twenty"]
)
UNITS = st.sampled_from(
    ["km", "ft", "in", "°C", "%", "hours", "minutes", "BC", "March", "May", "万", "公里", "年", "月"]
)
JOINTS = st.sampled_from([" ", "", ":", "/", "–", " – ", ", ", " and ", "-", " to ", "×", "(", ")", "−", "$", "\u00a0"])


@given(st.lists(st.one_of(NUMBERS, UNITS, JOINTS), max_size=14), st.sampled_from(["en", "zh", "fr"]))
def test_what_is_found_is_no_half_and_every_half_is_named(pieces: list[str], lang: str) -> None:
    text = "".join(pieces)
    plain = text.translate(PLAIN_SPACES)
    whole, halves = split_rule_spans(text, lang)
    assert not any(is_half_fact(plain, c.start, c.end, lang) for c in whole)
    assert all(is_half_fact(plain, c.start, c.end, lang) for c in halves)
    for candidate in whole:
        beside = text[max(0, candidate.start - 1) : candidate.start], text[candidate.end : candidate.end + 1]
        if text[candidate.start].isdecimal():
            assert not re.fullmatch(r"[0-9A-Za-z]", beside[0])
        if text[candidate.end - 1].isdecimal():
            assert not re.fullmatch(r"[0-9A-Za-z]", beside[1])


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    "shape",
    [
        "1", "1,", "1 ", "000 ", "1:", "1/", "1-", "1–", "−", "1×", "5 ft ", "5 ft 2 in ", "(5 km) ", "5 km (", "two ",
        "hundred ", "two hundred and ", "million", "May ", "5 May ", "May 5, ", "1990/", "1990–", "BC ", "$", "$5 (",
        "between 5 and ", "½", ".5", "1e", "10^", "first ", "6'", "5 hours, ", "a ", "th ", "\u00a0",
        "一", "万", "1万", "二十", "第", "年", "1990年", "1月", "百分之", "分之", "至", "前", "公元", "民国", "5公里",
    ],
)  # fmt: skip
def test_rules_take_time_in_proportion(lang: str, shape: str) -> None:
    assert cpu_growth(lambda n: shape * n, lambda text: find_rule_spans(text, lang)) <= LINEAR


@pytest.mark.parametrize(
    ("text", "part"),
    [("公元前221年", "221年"), ("三十二点五公里", "三十二"), ("在1990年代", "1990"), ("6英尺2英寸", "2英寸")],
)
def test_parts_of_chinese_facts_are_half(text: str, part: str) -> None:
    start = text.index(part)
    assert is_half_fact(text, start, start + len(part), "zh")
