#!/usr/bin/env bash
# LiteLLM's proxy: a request without a key is HTTP 500, and one with a wrong key is HTTP 400; neither is 401.
#
# Package:  litellm 1.108.7 with its extra `proxy`.
# Expected: with a master key set, a request with no key or a wrong key is refused with 401, as OpenAI does.
# Happens:  without a key, the handler of the error imports prisma, which the extra does not install, and the client
#           gets 500 "Internal Server Error". With a wrong key it gets 400 "No connected db.", where the proxy has no
#           database.
# Output:   right key: 200
#           wrong key: 400 No connected db.
#           no key: 500 Internal Server Error
# Matters:  clients try a 500 again as a fault that may pass, and count a 400 against the request: a run with a forgotten
#           key waits through all its tries, and one with a wrong key rejects item after item for good.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check 'litellm[proxy]==1.108.7'
cd "$dir"
cat >proxy.yaml <<'YAML'
model_list:
  - model_name: m
    litellm_params: {model: openai/m, api_base: "http://127.0.0.1:9/v1", api_key: none}
general_settings: {master_key: sk-right}
YAML
port=$(venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
NO_PROXY=127.0.0.1 venv/bin/litellm --config proxy.yaml --host 127.0.0.1 --port "$port" >log 2>&1 &
server=$!
venv/bin/python - "$port" <<'PY'
import sys
import time
import urllib.error
import urllib.request

base = f"http://127.0.0.1:{sys.argv[1]}"
for _ in range(600):
    try:
        urllib.request.urlopen(f"{base}/health/liveliness")
        break
    except OSError:
        time.sleep(0.2)


def ask(headers):
    """The status of a request for the models, and what it says when it is an error."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{base}/v1/models", headers=headers)) as reply:
            return reply.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


cases = {
    "right key": ({"Authorization": "Bearer sk-right"}, 200, ""),
    "wrong key": ({"Authorization": "Bearer sk-wrong"}, 400, "No connected db."),
    "no key": ({}, 500, "Internal Server Error"),
}
for name, (headers, status, words) in cases.items():
    seen, said = ask(headers)
    print(f"{name}: {seen} {words}".rstrip())
    assert seen == status and words in said, (seen, said)
PY
