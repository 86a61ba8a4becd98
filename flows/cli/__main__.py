"""`python -m flows` is `rampforge`."""

from __future__ import annotations

from flows.cli.app import main

main()
