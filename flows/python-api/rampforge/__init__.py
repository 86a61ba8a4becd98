"""Turn Wikipedia into corpora that teach language models to search."""

from __future__ import annotations

from rampforge.own_packages import check_packages

if __name__ != "rampforge":
    raise ImportError(f"{__name__} is imported as rampforge", name=__name__)

check_packages()
