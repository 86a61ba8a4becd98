#!/usr/bin/env bash
# JSON Lines: strings in quotes come back as times of day and dates, and their text is lost.
#
# Package:  duckdb 2.0.1 (reading a .jsonl file with its standard settings).
# Expected: JSON has strings and numbers; a value in quotes stays a string, as "42" and "true" do here.
# Happens:  the type is guessed from the strings of the sample. A column of durations becomes TIME, a column of dates
#           DATE, and the one word "infinity" a DATE too. Cast back to text, the value is another string. One value
#           that does not fit, anywhere in the sample, makes the whole column text again.
# Output:   ['9:05', '1:15:30']  TIME     ['09:05:00', '01:15:30']
#           ['2001-2-3']         DATE     ['2001-02-03']
#           ['infinity']         DATE     ['infinity']
#           ['42']               VARCHAR  ['42']
#           ['9:05', 'noon']     VARCHAR  ['9:05', 'noon']
# Matters:  gold answers are short strings, often a record time, a score or a date. An exact match against the file
#           that was written fails after a pass through SQL, and two shards of one data set get different column
#           types, depending only on which answers fell into them.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1
"$dir/venv/bin/python" - "$dir/answers.jsonl" <<'PY'
import json
import sys

import duckdb

path = sys.argv[1]
expected = [
    (["9:05", "1:15:30"], "TIME", ["09:05:00", "01:15:30"]),
    (["2001-2-3"], "DATE", ["2001-02-03"]),
    (["infinity"], "DATE", ["infinity"]),
    (["42"], "VARCHAR", ["42"]),
    (["9:05", "noon"], "VARCHAR", ["9:05", "noon"]),
]
for answers, kind, texts in expected:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"answer": answer}) + "\n" for answer in answers)
    rows = duckdb.sql(f"SELECT typeof(answer), answer::VARCHAR FROM '{path}'").fetchall()
    print(answers, rows[0][0], [text for _, text in rows])
    assert rows == [(kind, text) for text in texts], rows
PY
