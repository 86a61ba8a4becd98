"""The records that rampforge reads and writes, and the configuration of a run.

Everything here is data: frozen pydantic models, unknown keys forbidden, no I/O. It imports nothing else of ours.
"""
