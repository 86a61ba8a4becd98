"""llama.cpp's own server, as its Python wheel starts it: GGUF NAME PORT CONTEXT."""

# Runs in an environment of its own, whose packages are not here:
# mypy: ignore-errors

import sys
import threading

import xllamacpp

file, name, port, context = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = file, {name}
params.hostnames, params.port = ["127.0.0.1"], int(port)
params.n_parallel, params.n_ctx = 2, 2 * int(context)
params.endpoint_metrics = True
# Its threads spin while they wait for each other, which on a busy machine takes ten times as long as one thread alone.
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
threading.Event().wait()
