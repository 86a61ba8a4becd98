"""Sentence boundaries, by rule, for languages that end sentences with a stop and a space or with a full-width stop.

Guarantees: the bounds tile the text (joined they are the text again), linear time, and a line break always ends a
sentence. Ambiguous positions are not boundaries: a passage with one long sentence is complete, one cut after "Dr." is
broken.
"""

from __future__ import annotations

import re

# A line break, or a stop with the closing quotes and brackets and the space after it. A run of stops is tried once,
# from its first character, which keeps the time linear.
STOPS = re.compile(
    r"""
      (?P<line> \n\s* )
    | (?P<wide> [。！？；｡]+ (?P<wide_close> [」』”’）】〕》〉"')\]]* ) ) \s*
    | (?<! [.!?…؟۔।॥] ) (?P<stop> [.!?…؟۔।॥]+ ) (?P<close> ["'”’»›)\]}」』]* ) [^\S\n]+ (?=\S)
    """,
    re.VERBOSE,
)
OPENERS = "\"'“‘«‹([{「『„¿¡"
LOOK_BACK = 24  # context before a stop, in characters; bounds the work on texts without spaces


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never the last word of a sentence: a name or an example follows.
TITLES = _words(
    "adm amb brig capt cdr cf cmdr col cpl dr e.g fr gen gov hon i.e insp lt maj messrs mlle mme mr mrs ms msgr mt "
    "prof pvt rep rev revd sen sgt st ste supt viz vs"
)
# Part of a reference, a date or a measure when a number follows; else an ordinary word or letter.
NUMBERED = _words(
    "app approx apr art aug b bk c ca ch chap cir d dec ed eq est feb fig figs fl jan jul jun mar n no nos nov nr oct "
    "op p par pp pt r sec sep sept ser sess v vol vols"
)
# Part of a reference also when a Roman numeral of one letter or the letter of a figure follows.
COUNTED = _words("bk bks ch chap chaps chs eq fig figs nos op pl pls pt pts sec sect ser supp suppl tab vol vols")
# So are these inside a sentence, with a capital: "see Art. I", but "No. I did not" and "It is art. A man ...".
COUNTED_INSIDE = _words("App Art No Nr Par")
# Before "lit" they make it a verb.
KINDLED = _words("are be been being brightly dimly fully is not poorly softly still was well were")
# May or may not end a sentence: decided by a word that commonly starts one.
UNSURE = _words(
    "acad al approx assn assoc ave bldg blvd bros co corp dept dist div edn eds esp etc ext ft hrs hwy inc incl inst "
    "intl jr lb lbs ltd max min misc natl orig ph.d plc pop pub publ rd ret sr tr trans univ var yr yrs"
)
STARTERS = _words(
    "A After All Although Among An And Another As At Because Before Between Both But By Despite During Each Early Even "
    "Every Following For From He Her His How However If In Instead It Its Later Like Many Meanwhile More Moreover Most "
    "Nevertheless No Not Of On One Other Others Our Several She Since So Some Such That The Their Then There These "
    "They This Those Though Through Thus To Today Under Until Upon We What When Where While With Within You"
)
ORDINAL_NOUNS = _words(  # German writes "am 3. Oktober" and "im 19. Jahrhundert"
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember Jahrhundert Jahrhunderts"
)
CLOSERS = "”’»›)]}」』"
INITIALS = re.compile(r"(?:[^\W\d_]{1,2}\.)*[^\W\d_](?:\.[^\W\d_]{1,2})*")  # J, J.R.R, U.S, Ph.D
ROMAN = re.compile(r"(?=[MDCLXVI]{2})M{0,4}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
WORD = re.compile(r"[^\W_]+")
SHORT_NUMBER = re.compile(r"\d{1,2}")


def find_sentences(text: str) -> list[tuple[int, int]]:
    """Return the bounds of the sentences of a text, each with the space after it; together they tile the text."""
    bounds = []
    start = 0
    for match in STOPS.finditer(text):
        if match.end() > start and _ends_sentence(text, match):
            bounds.append((start, match.end()))
            start = match.end()
    if start < len(text):
        bounds.append((start, len(text)))
    return bounds


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    if match["line"] is not None:
        return True
    if match["wide"] is not None:
        in_title = set(match["wide_close"]) & set("》〉")  # the stop belongs to the name of a work
        return not in_title or "\n" in match[0]
    after = text[match.end() : match.end() + LOOK_BACK]
    following = after.lstrip(OPENERS)
    if not following:
        return True
    if following[0].islower() or after[0] in CLOSERS:
        return False
    if match["stop"] != "." or match["close"]:
        return not (match["close"] and after[0] == "(")  # "Duck, You Sucker!" (1971)
    return _ends_at_dot(text, match.start("stop"), following)


def _ends_at_dot(text: str, dot: int, following: str) -> bool:
    line = text.rfind("\n", max(0, dot - LOOK_BACK), dot) + 1
    before = text[max(line, dot - LOOK_BACK) : dot].split()
    word = before[-1].lstrip(OPENERS) if before and not text[dot - 1].isspace() else ""
    folded = word.lower()
    if (
        folded in TITLES
        or _is_reference(word, before[:-1], following)
        or (folded == "lit" and _is_gloss(before, text[dot + 2]))
    ):
        return False
    if SHORT_NUMBER.fullmatch(word):
        opens_line = dot - len(word) == line  # the number of a list item
        return not opens_line and _first_word(following) not in ORDINAL_NOUNS
    unsure = folded in UNSURE or INITIALS.fullmatch(word.rsplit("-", 1)[-1])
    return not unsure or _starts_sentence(following)


def _is_reference(word: str, before: list[str], following: str) -> bool:
    """Return whether a word and the text after its dot number a part of a work: vol. 4, ch. XII, Fig. A."""
    folded = word.lower()
    if folded not in NUMBERED and folded not in COUNTED:
        return False
    number = _first_word(following)
    if number[:1].isdigit() or ROMAN.fullmatch(number):
        return True
    inside = bool(before) and not before[-1].endswith((*".!?", *CLOSERS, *OPENERS))
    return len(number) == 1 and number.isupper() and (folded in COUNTED or (word in COUNTED_INSIDE and inside))


def _is_gloss(before: list[str], following: str) -> bool:
    """Return whether "lit." is short for "literally": in brackets, after a pause or another script, or before a
    quotation.
    """
    last = before[-2] if len(before) > 1 else ""
    if before[-1][0] in OPENERS or last.endswith((*",;:，；、", *CLOSERS)) or (last and not last.isascii()):
        return True
    return following in OPENERS and last not in KINDLED


def _first_word(text: str) -> str:
    word = WORD.match(text)
    return word[0] if word else ""


def _starts_sentence(following: str) -> bool:
    word = _first_word(following)
    return word in STARTERS and following[len(word) : len(word) + 1] != "."
