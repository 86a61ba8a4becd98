#!/usr/bin/env bash
# Chat templates: no single form of a tool call's arguments works with every model family.
#
# Package:  transformers 5.24.0 rendering the model families' chat templates that ship in trl 1.16.0.
# Expected: the arguments of a tool call have one form (the chat API sends a JSON text) that any template accepts, and
#           a template given another form says so.
# Happens:  deepseekv3 takes the JSON text only and raises TypeError for an object. glm4moe and qwen3_5_think take the
#           object only and raise for the JSON text. qwen3 takes both. qwen2_5 and llama3_1 accept both but encode the
#           text a second time, so that the arguments become a string inside the JSON.
# Output:   family         JSON text       object
#           deepseekv3     written once    TypeError
#           glm4moe        UndefinedError  written once
#           llama3_1       encoded twice   written once
#           qwen2_5        encoded twice   written once
#           qwen3          written once    written once
#           qwen3_5_think  TypeError       written once
# Matters:  a corpus that stores the arguments in one form trains one family on calls whose arguments are a string
#           where its tool parser expects an object, and cannot be rendered for another at all. The form has to be
#           chosen per family at export.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check transformers==5.24.0 jinja2==3.1.6
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check --no-deps trl==1.16.0
"$dir/venv/bin/python" - <<'PY'
import importlib.metadata

from transformers.utils.chat_template_utils import render_jinja_template

templates = {
    file.name.removesuffix(".jinja"): file
    for file in importlib.metadata.files("trl")
    if file.parent.name == "chat_templates" and file.suffix == ".jinja"
}
schema = {"type": "object", "properties": {"query": {"type": "string"}}}
tools = [{"type": "function", "function": {"name": "search", "description": "Search.", "parameters": schema}}]


def written(family, arguments):
    """How the family's template writes the arguments of one search for Oslo."""
    call = {"id": "c0", "type": "function", "function": {"name": "search", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "Which city?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c0", "name": "search", "content": "Found."},
        {"role": "assistant", "content": "That one."},
    ]
    source = templates[family].read_text()
    try:
        text = render_jinja_template([messages], tools=tools, chat_template=source, bos_token="", eos_token="")[0][0]
    except Exception as error:  # the templates raise errors of several unrelated classes
        return type(error).__name__
    assert "Oslo" in text, text
    return "encoded twice" if r'\"query\"' in text else "written once"


expected = {
    "deepseekv3": ("written once", "TypeError"),
    "glm4moe": ("UndefinedError", "written once"),
    "llama3_1": ("encoded twice", "written once"),
    "qwen2_5": ("encoded twice", "written once"),
    "qwen3": ("written once", "written once"),
    "qwen3_5_think": ("TypeError", "written once"),
}
for family, outcome in expected.items():
    seen = written(family, '{"query": "Oslo"}'), written(family, {"query": "Oslo"})
    print(f"{family:15}{seen[0]:16}{seen[1]}")
    assert seen == outcome, (family, seen)
PY
