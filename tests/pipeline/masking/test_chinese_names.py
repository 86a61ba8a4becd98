"""Chinese names are found whole, and common words are none."""

from __future__ import annotations

import pytest

from pipeline.masking.entities import find_chinese_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("源如梵蒂岡、列支敦斯登等國。", ["梵蒂岡"]),
        ("白杨浦在上海。", ["上海"]),
        ("他住在热河路。", ["热河路"]),
        ("今上海有北京大学。", ["上海", "北京大学"]),
        ("哈罗德·哈代首先", []),
        ("费姆克·朱元璋首先", []),
        ("陆军的侯爵在屠宰。", []),
        ("他是法国宇航公司的人。", ["法国宇航公司"]),
    ],
)
def test_chinese_names_are_not_cut(text: str, names: list[str]) -> None:
    (found,) = find_chinese_names([text])
    assert [text[name.start : name.end] for name in found] == names
