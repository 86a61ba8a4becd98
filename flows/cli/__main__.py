"""`python -m flows.cli` is `rampforge`."""

from __future__ import annotations

from flows.cli.app import main

main()
