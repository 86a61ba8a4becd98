"""Date and number rules: what is one span, and under which label."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.masking.rules import find_rule_spans

ENGLISH = [
    ("He was born on 5 May 1868 in Rome", [("5 May 1868", "date")]),
    ("died on May 5, 1869, aged", [("May 5, 1869", "date")]),
    ("the 3rd of June 1900 saw", [("3rd of June 1900", "date")]),
    ("signed 1999-12-31 there", [("1999-12-31", "date")]),
    ("(August 20, 1890 – March 15, 1937)", [("August 20, 1890", "date"), ("March 15, 1937", "date")]),
    ("from 12–15 May 1990 in", [("12–15 May 1990", "day_range")]),
    ("In May 1868 he", [("May 1868", "month")]),
    ("in the summer of 1990 it", [("summer of 1990", "season")]),
    ("held on 14 July every year", [("14 July", "day")]),
    ("on July 4 each", [("July 4", "day")]),
    ("In 1990 it", [("1990", "year")]),
    ("Founded 1990.", [("1990", "year")]),
    ("in 325 BC, and", [("325 BC", "era_year")]),
    ("(AD 292)", [("AD 292", "era_year")]),
    ("about 12,000 BCE,", [("12,000 BCE", "era_year")]),
    ("the 4AD label", []),
    ("the late 1990s saw", [("1990s", "decade")]),
    ("in the 18th century", [("18th century", "century")]),
    ("the 18th and 19th centuries BC were", [("18th and 19th centuries BC", "century")]),
    ("a twentieth-century idea", [("twentieth-century", "century")]),
    ("the war of 1914–1918", [("1914–1918", "year_range")]),
    ("the 1998–99 season", [("1998–99", "year_range")]),
    ("approximately 5.98 × 10^24 kg.", [("5.98 × 10^24 kg", "quantity")]),
    ("approximately 5.98×1024 kg", [("5.98×1024 kg", "quantity")]),
    ("about 6.02 × 10²³ of", [("6.02 × 10²³", "cardinal")]),
    ("300 mm (12 in) in the", [("300 mm (12 in)", "quantity")]),
    ("661,848 km2 (255,541 sq mi),", [("661,848 km2 (255,541 sq mi)", "quantity")]),
    ("at 100 km/h over", [("100 km/h", "quantity")]),
    ("between 25 and 30 °C in", [("25 and 30 °C", "quantity")]),
    ("down to −5 °C", [("−5 °C", "quantity")]),
    ("weighs 1.2 ± 0.3 kg", [("1.2 ± 0.3 kg", "quantity")]),
    ("a 20-foot wall", [("20-foot", "quantity")]),
    ("for thirty-five years", [("thirty-five years", "quantity_words")]),
    ("two million people", [("two million", "number_words")]),
    ("only two people", []),
    ("some 45% of", [("45%", "percent")]),
    ("10–20% of", [("10–20%", "percent")]),
    ("3.5 per cent of", [("3.5 per cent", "percent")]),
    ("worth $900 bn and", [("$900 bn", "money")]),
    ("US$1.5 million was", [("US$1.5 million", "money")]),
    ("50 million dollars", [("50 million dollars", "money")]),
    ("population of 3,645,257 at", [("3,645,257", "cardinal")]),
    ("the 21st president", [("21st", "ordinal")]),
    ("the third largest city", [("third", "ordinal_word")]),
    ("at 10:30 am on", [("10:30 am", "clock")]),
    ("won 3–2 in", [("3–2", "cardinal")]),
    ("COVID-19, B-52, U-235, H2O and p. 45", []),
    ("192.168.0.1", []),
    ("You may 12 times", [("12", "cardinal")]),
    ("from 1901 to 1961 he ruled", [("1901 to 1961", "year_range")]),
    ("the 1998 to 2003 seasons", [("1998 to 2003", "year_range")]),
    ("some 1200 to 1300 men fell", [("1200 to 1300", "cardinal")]),
    ("a dose of 2 to 3 mGy a year", [("2 to 3 mGy", "quantity")]),
    (
        "15 milligrays, 40 kN and 3 megahertz",
        [("15 milligrays", "quantity"), ("40 kN", "quantity"), ("3 megahertz", "quantity")],
    ),
    ("spoken by 2,765,610 or 98.767% of", [("2,765,610", "cardinal"), ("98.767%", "percent")]),
]

CHINESE = [
    ("1949年10月1日，中华", [("1949年10月1日", "date")]),
    ("于2008年8月举行", [("2008年8月", "month")]),
    ("二〇〇八年八月八日开幕", [("二〇〇八年八月八日", "date")]),
    ("生於１９８４年。", [("１９８４年", "year")]),
    ("公元前221年统一", [("公元前221年", "era_year")]),
    ("民國三十八年遷台", [("民國三十八年", "era_year")]),
    ("20世纪60年代末", [("20世纪60年代", "decade")]),
    ("十九世紀的", [("十九世紀", "century")]),
    ("1937年至1945年抗战", [("1937年至1945年", "year_range")]),
    ("每年5月4日", [("5月4日", "day")]),
    ("约3.5亿人使用", [("3.5亿人", "quantity")]),
    ("人口1,234万人，", [("1,234万人", "quantity")]),
    ("全长6300公里", [("6300公里", "quantity")]),
    ("约5.98×10^24千克", [("5.98×10^24千克", "quantity")]),
    ("占百分之四十五", [("百分之四十五", "percent")]),
    ("占30%以上", [("30%", "percent")]),
    ("第3届奥运会", [("第3届", "ordinal")]),
]

OTHER = [("en 1868 à 12,5 % de 300", [("1868", "year"), ("12,5 %", "percent"), ("300", "cardinal")])]

CASES = [(lang, *case) for lang, cases in (("en", ENGLISH), ("zh", CHINESE), ("fr", OTHER)) for case in cases]


@pytest.mark.parametrize(("lang", "text", "expected"), CASES)
def test_rules_find_whole_dates_and_numbers(lang: str, text: str, expected: list[tuple[str, str]]) -> None:
    assert [(text[c.start : c.end], c.label) for c in find_rule_spans(text, lang)] == expected


@given(
    st.lists(st.sampled_from([case[0] for case in ENGLISH + CHINESE] + list("0159.,– ×^年月%"))), st.sampled_from("ez")
)
def test_rule_spans_are_disjoint_and_in_order(pieces: list[str], lang: str) -> None:
    text = " ".join(pieces)
    found = find_rule_spans(text, {"e": "en", "z": "zh"}[lang])
    for one, other in itertools.pairwise(found):
        assert one.end <= other.start
    assert all(0 <= c.start < c.end <= len(text) for c in found)
