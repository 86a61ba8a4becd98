#!/usr/bin/env bash
# Chat templates: the search call is dropped from the text while its result stays, and no error is raised.
#
# Package:  transformers 5.24.0 rendering the model families' chat templates that ship in trl 1.16.0.
# Expected: a template renders every part of a valid conversation in the chat format, or raises an error.
# Happens:  each family loses another part of the same episode. deepseek_r1_distill renders a call only if content is
#           null: with "" all calls vanish. gptoss renders the first of two parallel calls but both results. llama3_1
#           drops the reasoning text beside a call. qwen2_5_vl drops all calls, although qwen2_5 and qwen3 keep
#           everything.
# Output:   qwen3                content ''         in turn   lost: nothing
#           deepseek_r1_distill  content None       in turn   lost: nothing
#           deepseek_r1_distill  content ''         in turn   lost: QUERY1, QUERY2
#           gptoss               content ''         parallel  lost: QUERY2
#           llama3_1             content 'THOUGHT'  in turn   lost: THOUGHT
#           qwen2_5_vl           content ''         in turn   lost: QUERY1, QUERY2
# Matters:  the calls are the very text that a search agent is trained on. A corpus rendered this way shows results
#           that appear without a request, and no step after the rendering can tell that a call is missing.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check transformers==5.24.0 jinja2==3.1.6
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check --no-deps trl==1.16.0
"$dir/venv/bin/python" - <<'PY'
import importlib.metadata
import json

from transformers.utils.chat_template_utils import render_jinja_template

templates = {
    file.name.removesuffix(".jinja"): file
    for file in importlib.metadata.files("trl")
    if file.parent.name == "chat_templates" and file.suffix == ".jinja"
}
schema = {"type": "object", "properties": {"query": {"type": "string"}}}
tools = [{"type": "function", "function": {"name": "search", "description": "Search.", "parameters": schema}}]


def calls(family, *queries):
    """Tool calls with arguments in the form of the family; ids in lower case, as some templates write them."""
    form = json.dumps if family.startswith("deepseek") else dict
    return [
        {"id": query.lower(), "type": "function", "function": {"name": "search", "arguments": form({"query": query})}}
        for query in queries
    ]


def lost(family, content, parallel=False):
    """The parts of an episode of two searches that its rendered text lacks."""
    messages = [{"role": "user", "content": "QUESTION"}]
    for queries in [("QUERY1", "QUERY2")] if parallel else [("QUERY1",), ("QUERY2",)]:
        messages.append({"role": "assistant", "content": content, "tool_calls": calls(family, *queries)})
        for query in queries:
            result = query.replace("QUERY", "RESULT")
            messages.append({"role": "tool", "tool_call_id": query.lower(), "name": "search", "content": result})
    messages.append({"role": "assistant", "content": "ANSWER"})
    source = templates[family].read_text()
    text = render_jinja_template([messages], tools=tools, chat_template=source, bos_token="", eos_token="")[0][0]
    parts = ["QUESTION", "QUERY1", "RESULT1", "QUERY2", "RESULT2", "ANSWER", *filter(None, [content])]
    return [part for part in parts if part not in text]


expected = [
    ("qwen2_5", "", False, []),
    ("qwen3", "", False, []),
    ("deepseek_r1_distill", None, False, []),
    ("deepseek_r1_distill", "", False, ["QUERY1", "QUERY2"]),
    ("gptoss", "", False, []),
    ("gptoss", "", True, ["QUERY2"]),
    ("llama3_1", "", False, []),
    ("llama3_1", "THOUGHT", False, ["THOUGHT"]),
    ("qwen2_5_vl", "", False, ["QUERY1", "QUERY2"]),
]
for family, content, parallel, parts in expected:
    seen = lost(family, content, parallel)
    order = "parallel" if parallel else "in turn"
    print(f"{family:20} content {content!r:10} {order:9} lost: {', '.join(seen) or 'nothing'}")
    assert seen == parts, (family, seen)
PY
