"""Training in environments of its own: request, launch, result.

Nothing here imports a trainer. `trainers/` holds the programs that run inside the trainers' environments: they read a
clock and the environment, as programs do, and import no more of rampforge than the standard library and pydantic carry.
"""
