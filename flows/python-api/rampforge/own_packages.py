"""The packages that rampforge is made of, and the check that Python finds them and not others of the same names.

Their names are common ones. A module or folder of such a name beside the user's script comes first on `sys.path`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGES = {"schemas": "record.py", "prompts": "library.py", "pipeline": "errors.py", "flows": "trainer_rewards.py"}
"""Each package with a module that it holds."""
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2] if HERE.parent.name == "python-api" else HERE.parent
"""The folder that holds the packages: the checkout, or site-packages."""


def check_packages() -> None:
    """Raise ImportError for a package that something else takes the place of.

    A plain folder of such a name is not an obstacle: with ROOT on `sys.path`, the package comes before it.
    """
    for name, module in PACKAGES.items():
        if _holds(find_places(name), module):
            continue
        if name not in sys.modules and str(ROOT) not in sys.path:
            sys.path.append(str(ROOT))
            importlib.invalidate_caches()
        places = find_places(name)
        if not _holds(places, module):
            found = f"finds {places[0]}" if places else "finds none"
            raise ImportError(
                f"rampforge has a package called {name}, and Python {found} instead: rename that file or folder, or "
                "start Python with -P, which leaves the script's folder off sys.path",
                name=name,
                path=places[0] if places else None,
            )


def find_places(name: str) -> Sequence[str]:
    """The folders of a package, or the file of a module of that name, as Python finds them."""
    module = sys.modules.get(name)
    spec = module.__spec__ if module else importlib.util.find_spec(name)
    if spec is None:
        return []
    return list(spec.submodule_search_locations or []) or [spec.origin or name]


def _holds(places: Sequence[str], module: str) -> bool:
    return any((Path(place) / module).is_file() for place in places)
