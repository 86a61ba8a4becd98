"""Record models that rampforge reads and writes, and the configuration of a run.

Frozen pydantic models that forbid unknown keys. Guarantees: no I/O, and no import of another package of rampforge.
"""
