"""Training in environments of its own: what is asked, how it is launched, what came of it.

Nothing here imports a trainer. `trainers/` holds the programs that run inside the trainers' environments: they read a
clock and the environment, as programs do, and import no more of rampforge than the standard library and pydantic carry.
"""
