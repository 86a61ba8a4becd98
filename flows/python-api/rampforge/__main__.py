"""`python -m rampforge` is the command line."""

from __future__ import annotations

from flows.cli.app import main

main()
