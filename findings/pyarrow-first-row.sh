#!/usr/bin/env bash
# Rows to a table: a key that the first row lacks is lost at the top level, and kept one level down.
#
# Package:  pyarrow 26.0.1 (Table.from_pylist). datasets 5.2.0 behaves the same in Dataset.from_list.
# Expected: a table built from rows has the union of their keys, or an error says that the rows differ.
# Happens:  the top-level columns are those of the first row; a key that appears later is dropped with its values and
#           without a warning. Inside a nested object the opposite holds: the keys of all rows are united, and every
#           row gets a null for each key that it never had. The order of the rows decides which data survive.
# Output:   [{'id': 1}, {'id': 2}]                            for [{'id': 1}, {'id': 2, 'answer': 'Oslo'}]
#           [{'args': {'query': 'Oslo', 'page': None}},
#            {'args': {'query': None, 'page': 2}}]            for the tool arguments {query: Oslo} and {page: 2}
# Matters:  rows of search episodes differ (some have an answer, some an error; each tool has its own arguments).
#           Written this way, a column disappears if the first episode has none, and each recorded tool call gains
#           null arguments that no model ever wrote; trained on, they teach the model to write them.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$dir/venv/bin/python" - <<'PY'
import warnings

import pyarrow as pa

warnings.simplefilter("error")
rows = [{"id": 1}, {"id": 2, "answer": "Oslo"}]
calls = [{"args": {"query": "Oslo"}}, {"args": {"page": 2}}]
top = pa.Table.from_pylist(rows).to_pylist()
turned = pa.Table.from_pylist(rows[::-1]).to_pylist()
nested = pa.Table.from_pylist(calls).to_pylist()
print(f"{rows} -> {top}\n{rows[::-1]} -> {turned}\n{calls} -> {nested}")
assert top == [{"id": 1}, {"id": 2}], top
assert turned == [{"id": 2, "answer": "Oslo"}, {"id": 1, "answer": None}], turned
assert nested == [{"args": {"query": "Oslo", "page": None}}, {"args": {"query": None, "page": 2}}], nested
PY
