#!/usr/bin/env bash
# Wikitext to plain text: a power of ten becomes another number, and a citation becomes part of the sentence.
#
# Package:  mwparserfromhell 0.7.2 (strip_code) and wikitextparser 3.0.0 (plain_text).
# Expected: "plain text" holds what a reader sees in the line: no footnote text, and 10<sup>6</sup> is not 106.
# Happens:  both libraries remove only the tag and keep what is inside it. The footnote's text is glued to the word
#           before it, and the exponent is glued to its base. What a reader does see, the number inside
#           {{convert|5|km}}, is dropped by both. For <math> they differ: the first drops it, the second keeps it.
# Output:   'OsloSmith 2001 has 106 trees on  of land.'  from both, for
#           'Oslo<ref>Smith 2001</ref> has 10<sup>6</sup> trees on {{convert|5|km}} of land.'
# Matters:  passages for retrieval and gold answers for questions are cut from such text. "106 trees" is a fluent,
#           false fact, a quote of it is found word by word in the corpus, and no check against the corpus can see it.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check mwparserfromhell==0.7.2 wikitextparser==3.0.0
"$dir/venv/bin/python" - <<'PY'
import mwparserfromhell
import wikitextparser

readers = {
    "mwparserfromhell": lambda text: mwparserfromhell.parse(text).strip_code(),
    "wikitextparser": lambda text: wikitextparser.parse(text).plain_text(),
}
sentence = "Oslo<ref>Smith 2001</ref> has 10<sup>6</sup> trees on {{convert|5|km}} of land."
formula = "It holds that <math>x^2</math> is even."
seen = {name: (read(sentence), read(formula)) for name, read in readers.items()}
for name, texts in seen.items():
    print(f"{name}: {texts}")
assert {texts[0] for texts in seen.values()} == {"OsloSmith 2001 has 106 trees on  of land."}, seen
assert ["x^2" in texts[1] for texts in seen.values()] == [False, True], seen
PY
