#!/usr/bin/env bash
# transformers serve: a JSON schema, n and logprobs are taken with HTTP 200 and ignored.
#
# Package:  transformers 5.24.0 (`transformers serve`).
# Expected: a request field that the server does not support is refused, as it refuses unknown fields with 422. The
#           source says so of these fields too: "Receiving these raises an error to avoid silent misbehaviour".
# Happens:  response_format, n and logprobs are ignored. The reply is 200 with one choice of free text, and nothing in it
#           tells that the schema did not apply. A field of vLLM's (return_token_ids) is refused.
# Output:   response_format json_schema: 200, the text is not JSON
#           n=2: 200, 1 choice
#           logprobs: 200, none returned
#           return_token_ids: 422
# Matters:  agents, judges and extractors that rely on the server to enforce their schema get text instead, from a
#           server that seems to take it. Clients that probe with a request and fall back when it is refused never do.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    'transformers[serving]==5.24.0' torch==2.13.0 accelerate==1.15.0
cd "$dir"
mkdir -p cache
# A tiny model of random weights, with a tokenizer of bytes.
venv/bin/python - <<'PY'
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

torch.manual_seed(0)
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate([*letters, "<end>"])}, []))
tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
template = "{% for m in messages %}{{ m.content }}{% endfor %}"
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>", chat_template=template)
fast.save_pretrained("model")
size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
config = LlamaConfig(vocab_size=len(letters) + 1, eos_token_id=len(letters), bos_token_id=None, **size)
LlamaForCausalLM(config).save_pretrained("model")
PY
export HF_HUB_OFFLINE=1 HF_HUB_CACHE="$dir/cache" NO_PROXY=127.0.0.1
port=$(venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
venv/bin/transformers serve --host 127.0.0.1 --port "$port" --device cpu --default-seed 0 >log 2>&1 &
server=$!
venv/bin/python - "$port" <<'PY'
import json
import sys
import time
import urllib.error
import urllib.request

base = f"http://127.0.0.1:{sys.argv[1]}"
for _ in range(600):
    try:
        urllib.request.urlopen(f"{base}/health")
        break
    except OSError:
        time.sleep(0.2)


def ask(path="chat/completions", **fields):
    """The status and the body of a reply."""
    body = {"model": "./model", "max_tokens": 8, **fields}
    if path == "chat/completions":
        body["messages"] = [{"role": "user", "content": "Reply in JSON."}]
    headers = {"Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{base}/v1/{path}", json.dumps(body).encode(), headers)) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


schema = {"type": "object", "properties": {"verdict": {"enum": ["yes", "no"]}}, "required": ["verdict"]}
wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}
status, reply = ask(response_format=wanted)
text = reply["choices"][0]["message"]["content"]
try:
    kind = f"is {json.loads(text)}"
except ValueError:
    kind = "is not JSON"
print(f"response_format json_schema: {status}, the text {kind}")
assert (status, kind) == (200, "is not JSON"), text
status, reply = ask(n=2)
print(f"n=2: {status}, {len(reply['choices'])} choice")
assert (status, len(reply["choices"])) == (200, 1)
status, reply = ask(logprobs=True)
print(f"logprobs: {status}, {'some' if reply['choices'][0].get('logprobs') else 'none'} returned")
assert status == 200 and not reply["choices"][0].get("logprobs")
status, _ = ask("completions", prompt="a", return_token_ids=True)
print(f"return_token_ids: {status}")
assert status == 422
PY
