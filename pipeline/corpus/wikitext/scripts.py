"""Templates of words in other languages and scripts."""

from __future__ import annotations

import re

from pipeline.corpus.wikitext.marks import SPOKEN
from pipeline.corpus.wikitext.template_calls import TemplateCall

LANGUAGES = {
    "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "ber": "Berber", "bg": "Bulgarian", "bn": "Bengali",
    "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "ga": "Irish", "gd": "Scottish Gaelic", "gl": "Galician", "grc": "Ancient Greek", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian",
    "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "ko": "Korean", "ku": "Kurdish", "la": "Latin",
    "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "mn": "Mongolian", "ms": "Malay", "mt": "Maltese",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sa": "Sanskrit", "sk": "Slovak", "sl": "Slovene", "sq": "Albanian", "sr": "Serbian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian",
    "ur": "Urdu", "vi": "Vietnamese", "yi": "Yiddish", "zh": "Chinese",
    "af": "Afrikaans", "akk": "Akkadian", "aln": "Gheg Albanian", "am": "Amharic",
    "an": "Aragonese", "ang": "Old English", "arc": "Aramaic",
    "ast": "Asturian", "bo": "Standard Tibetan", "br": "Breton", "bs": "Bosnian", "ce": "Chechen", "cop": "Coptic",
    "cu": "Church Slavonic", "egy": "Egyptian", "eo": "Esperanto", "fo": "Faroese", "fro": "Old French",
    "fy": "West Frisian", "goh": "Old High German", "got": "Gothic", "gsw": "Swiss German", "gu": "Gujarati",
    "gv": "Manx", "haw": "Hawaiian", "ht": "Haitian Creole", "jv": "Javanese", "km": "Khmer", "kn": "Kannada",
    "kw": "Cornish", "ky": "Kyrgyz", "lb": "Luxembourgish", "lo": "Lao", "mi": "Māori", "ml": "Malayalam",
    "mr": "Marathi", "my": "Burmese", "nds": "Low German", "ne": "Nepali", "non": "Old Norse", "oc": "Occitan",
    "or": "Odia", "ota": "Ottoman Turkish", "pa": "Punjabi", "pi": "Pali", "qu": "Quechua", "rm": "Romansh",
    "rus": "Russian",
    "sco": "Scots", "sh": "Serbo-Croatian", "si": "Sinhala", "so": "Somali", "te": "Telugu", "tg": "Tajik",
    "tl": "Tagalog", "tt": "Tatar", "uz": "Uzbek", "xh": "Xhosa", "yo": "Yoruba", "yue": "Cantonese", "zu": "Zulu",
}  # fmt: skip
CODE = re.compile(r"(?:[a-z]{2,3}(?:-[a-z]+)*|simple)$")
WIKIS = frozenset(LANGUAGES) | frozenset([
    "af", "als", "an", "arz", "ast", "ba", "bar", "be-tarask", "br", "bs", "ceb", "ckb", "cv", "eo", "fo", "fy",
    "gsw", "gu", "hsb", "ht", "ia", "io", "jv", "km", "kn", "ky", "lb", "lmo", "mg", "mi", "ml", "mr", "my",
    "nan", "nb", "nds", "ne", "nn", "oc", "or", "os", "pa", "pms", "pnb", "sco", "scn", "sh", "si", "simple",
    "so", "su", "szl", "te", "tg", "tk", "tl", "tt", "ug", "uz", "vec", "war", "wuu", "yo", "yue",
])  # fmt: skip
LANGUAGES_ZH = {
    "ar": "阿拉伯語", "bg": "保加利亞語", "ca": "加泰羅尼亞語", "cs": "捷克語", "da": "丹麥語", "de": "德語",
    "el": "希臘語", "en": "英語", "es": "西班牙語", "et": "愛沙尼亞語", "fa": "波斯語", "fi": "芬蘭語",
    "fr": "法語", "grc": "古希臘語", "he": "希伯來語", "hi": "印地語", "hr": "克羅埃西亞語", "hu": "匈牙利語",
    "id": "印尼語", "is": "冰島語", "it": "義大利語", "ja": "日語", "ko": "韓語", "la": "拉丁語", "lt": "立陶宛語",
    "lv": "拉脫維亞語", "mn": "蒙古語", "ms": "馬來語", "nl": "荷蘭語", "no": "挪威語", "pl": "波蘭語",
    "pt": "葡萄牙語", "ro": "羅馬尼亞語", "ru": "俄語", "sa": "梵語", "sk": "斯洛伐克語", "sl": "斯洛維尼亞語",
    "sr": "塞爾維亞語", "sv": "瑞典語", "th": "泰語", "tr": "土耳其語", "uk": "烏克蘭語", "vi": "越南語",
}  # fmt: skip
CHINESE_PARTS = {
    "c": "Chinese", "s": "simplified Chinese", "t": "traditional Chinese", "p": "pinyin", "w": "Wade–Giles",
    "j": "Jyutping", "y": "Yale", "poj": "Pe̍h-ōe-jī", "l": "lit.",
}  # fmt: skip
KOREAN_PARTS = {"hangul": "Korean", "hanja": "Hanja", "rr": "RR", "mr": "MR"}
SETTINGS = frozenset(["labels", "links", "link", "first", "lk", "out", "context", "scase", "italic", "size"])
AERA = frozenset(["bc", "ad", "bce", "ce", "am", "pm", "ah"])


def show_spoken(_call: TemplateCall) -> str:
    """Pronunciations are not running text: a gap inside brackets, a hole elsewhere."""
    return SPOKEN


def show_small_capitals(call: TemplateCall) -> str:
    """{{sc|bc}}: eras are shown as capitals, other words as written."""
    return call.arg(1).upper() if call.arg(1).lower() in AERA else call.arg(1)


def show_named_language(call: TemplateCall) -> str | None:
    """{{lang-fr|mot|lit=word}}, {{langx|fr|mot}}: the language's name and the words."""
    code, args = (call.arg(1), call.args[1:]) if call.name == "langx" else (call.name.removeprefix("lang-"), call.args)
    words = (args[0] if args else "") or call.first("text", "1")
    if not words:
        return None
    code = code.partition("-")[0]
    chinese = call.lang.startswith("zh")
    name = (LANGUAGES_ZH if chinese else LANGUAGES).get(code, "")
    label = call.first("label")
    name = label or name
    if label.lower() not in ("none", "-"):
        if not name:
            return None
        words = f"{name}：{words}" if chinese else f"{name}: {words}"
    latin = (args[1] if len(args) > 1 else "") or call.first("translit", "transl", "tr")
    if latin and not chinese:
        words += f", {latin}"
    if (meaning := call.first("lit") or (args[2] if len(args) > 2 else "")) and not chinese:
        words += f", lit. '{meaning}'"
    return words


def show_japanese(call: TemplateCall) -> str | None:
    """{{nihongo|English|kanji|romaji|extra|extra after}} in its three orders."""
    english, kanji, romaji = call.arg(1), call.arg(2) or call.first("kanji"), call.arg(3) or call.first("romaji")
    extra = call.arg(4) or call.first("extra")
    if call.name in ("nihongo2", "nihongo foot"):
        return english or None
    if call.name in ("nihongo3", "nihongo krt") or not english:
        head, rest = romaji or english, [kanji, english if romaji else "", extra]
    else:
        head, rest = english, [kanji, romaji, extra]
    inside = ", ".join(part for part in rest if part)
    head, after = head or kanji, call.arg(5) or call.first("extra2")
    return (f"{head} ({inside})" if inside and head != inside else head) + (f" {after}" if after else "") or None


def show_chinese(call: TemplateCall) -> str | None:
    """{{zh|s=...|t=...|p=...}}: each form with its name; None for an unknown name."""
    return _show_forms(call, CHINESE_PARTS)


def show_korean(call: TemplateCall) -> str | None:
    """{{korean|hangul=...|hanja=...|rr=...}}."""
    return _show_forms(call, KOREAN_PARTS)


def _show_forms(call: TemplateCall, parts: dict[str, str]) -> str | None:
    if any(value and name not in parts and name not in SETTINGS for name, value in call.named.items()):
        return None
    bare = call.first("labels") == "no"
    shown = [
        value if bare or (at == 0 and call.first("first")) else f"{label}: {value}"
        for at, (code, label) in enumerate(parts.items())
        if (value := call.named.get(code, ""))
    ]
    return "; ".join(shown) or call.arg(1) or None


def show_foreign_link(call: TemplateCall) -> str | None:
    """{{ill|Title|fr|Titre}}, {{link-en|本地|foreign|shown}}: a link to an article this wiki may lack."""
    if call.name in ("tsl", "translink", "internal link helper"):
        title, shown = call.arg(3) or call.arg(2), call.arg(4)
    elif call.name == "link-interwiki":
        title, shown = call.first("zh"), ""
    elif call.lang.startswith("zh") and not call.name.startswith(("ill", "iLL", "interlanguage")):
        title, shown = call.arg(1), call.arg(3)
    else:
        title, shown = _local_title(call), ""
    return call.link(title, call.first("lt", "d", "nobold") or shown or title) if title else None


def _local_title(call: TemplateCall) -> str:
    """Return the local title, which older pages wrote after the code of the other wiki; empty when ambiguous."""
    first, second = call.arg(1), call.arg(2)
    if not CODE.match(first):
        return first
    if not CODE.match(second):
        return second
    known = first in WIKIS, second in WIKIS
    return second if known == (True, False) else first if known == (False, True) else ""
