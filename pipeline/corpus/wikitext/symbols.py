"""Templates that stand for one or two characters, whatever their arguments."""

from __future__ import annotations

SYMBOLS = {
    "'s": "'s", "'": "'", "' \"": "' \"", "\" '": "\" '", "'-": "'", "-'": "'", '-"': '"', "`": "`", "s'": "s'",
    "'\"": "'\"", "\"'": "\"'",
    "ndash": "–", "en dash": "–", "–": "–", "nsndns": "–", "spaced ndash": " – ", "snd": " – ", "snds": " – ",
    "spnd": " – ", "sndash": " – ", "spacedndash": " – ", "spaced en dash": " – ",
    "spaced en dash space": " – ", "mdash": "—", "em dash": "—", "—": "—", "spaced mdash": " — ",
    "mdashb": " — ", "spaced em dash": " — ", "·": " · ", "dot": " · ", "middot": " · ", "bullet": " • ",
    "•": " • ", "\\": " / ", "/": "/", "thinsp": " ",
    "hsp": " ", "hair space": " ", "thin space": " ", "zwj": "\u200d", "zwnj": "\u200c", "zwsp": "", "shy": "",
    "wbr": "", "zwnbsp": "", "wj": "", "!": "|", "=": "=", "(": "{", ")": "}", "pipe": "|", "*": "*",
    "minus": "−", "times": "×", "x": "×", "plusmn": "±", "sdot": "⋅", "deg": "°", "prime": "′", "pprime": "″",
    "ellipsis": "...", "okina": "ʻ", "hamza": "ʾ", "ayin": "ʿ", "okina2": "ʻ", "flat": "♭", "sharp": "♯",
    "natural": "♮", "BCE": "BCE", "BC": "BC", "CE": "CE", "AD": "AD", "dagger": "†", "double-dagger": "‡",
    "double dagger": "‡", "dag": "†", "en icon": "", "increase": "", "decrease": "", "steady": "", "gain": "",
    "loss": "", "profit": "", "no change": "", "eqm": "⇌", "hash": "#", "colon": ":", "at": "@",
}  # fmt: skip
