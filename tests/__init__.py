"""Tests. One thread a process in native libraries: what they compute here is small, waiting threads cost
time, and none outlives a fork."""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
