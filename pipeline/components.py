"""Functions of the user that a configuration names as `module:function`: their import, and what identifies them.

Worker processes and trainers import them anew, so they are defined in a module, not in the script that starts the run
or in a notebook. The current folder is searched last. A function is identified by its name and the digest of its
module's source.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError


def load_component(key: str, name: str) -> Callable[..., Any]:
    """Return the function that a configuration key names. Raises ConfigError when it cannot be imported."""
    module, _, path = name.partition(":")
    if not module or not path:
        raise ConfigError(f"{key}: {name!r} is not MODULE:FUNCTION", f"{key}=my_module:my_function")
    value: Any = _import_module(key, name, module)
    for part in path.split("."):
        value = getattr(value, part, None)
    if not callable(value):
        raise ConfigError(f"{key}: {name}: the module {module} has no function {path}", f"define it in {module}")
    function: Callable[..., Any] = value
    return function


def identify_component(key: str, name: str) -> str:
    """Return the function's name and the digest of its module's source. Raises ConfigError as `load_component`."""
    load_component(key, name)
    source = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
    if source is None:
        return name
    return f"{name} sha256 {hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]}"


def locate_component(key: str, name: str) -> Path:
    """Return the file or package folder of the function's top-level module. Raises ConfigError as `load_component`."""
    load_component(key, name)
    spec = importlib.util.find_spec(name.partition(":")[0].partition(".")[0])
    places = [*(spec.submodule_search_locations or ()), spec.origin or ""] if spec else [""]
    if not Path(places[0]).is_absolute() or not Path(places[0]).exists():
        raise ConfigError(f"{key}: {name}: the module has no source file", "name a function of a Python file")
    return Path(places[0])


def _import_module(key: str, name: str, module: str) -> object:
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
        importlib.invalidate_caches()
    if _is_script(module):
        raise ConfigError(
            f"{key}: {name}: worker processes do not import the script that is running",
            "move the function to a module beside it",
        )
    try:
        return importlib.import_module(module)
    except Exception as error:  # whatever the user's module raises
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{key}: {name}: the module cannot be imported: {type(error).__name__}: {reason}",
            "put its folder on PYTHONPATH, or start in that folder",
        ) from error


def _is_script(module: str) -> bool:
    """Whether a module is what this process was started with."""
    if module == "__main__":
        return True
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is None or "." in module or module in sys.modules:
        return False
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == Path(script).resolve()
