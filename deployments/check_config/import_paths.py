"""Check whether what the import paths of a config file name can be imported here."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.util import find_spec
from itertools import accumulate
from types import ModuleType
from typing import Any

from ray.serve import Application

from deployments.check_config.findings import near, one_line

LIKENESS_OF_MODULES = 0.7  # There are many modules, so some are a little alike by chance.
LIKENESS_OF_NAMES = 0.5  # Enough for "app" to find "build_app".


def split(path: str) -> tuple[str, str]:
    """Return the module and the name in it, as Serve reads "module:name" and "module.name"."""
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    return module, name


def import_problem(path: Any) -> str | None:
    """Return why a path cannot be imported, as one sentence."""
    if not isinstance(path, str) or not all(split(path)):
        return f"{path!r} is not an import path; write module:name"
    module, name = split(path)
    for ancestor in accumulate(module.split("."), "{}.{}".format):
        if not _exists(ancestor):
            return f"there is no module {ancestor!r}{near(ancestor, _beside(ancestor), LIKENESS_OF_MODULES)}"
    return _missing_name(module, name)


def application_problem(path: str) -> str | None:
    """Return why Serve cannot take an application from an import path."""
    problem = import_problem(path)
    if problem:
        return problem
    module, name = split(path)
    found = getattr(importlib.import_module(module), name)
    if isinstance(found, Application) or inspect.isfunction(found):
        return None
    return f"{path!r} is a {type(found).__name__}, not an application or a function that builds one"


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
    except Exception:  # The package around it fails to import; importing the module says how.
        return True


def _beside(module: str) -> set[str]:
    """Return the modules in the same package, or all at the top."""
    package, dot, _ = module.rpartition(".")
    if not package:
        return {found.name for found in pkgutil.iter_modules()}
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return {package + dot + found.name for found in pkgutil.iter_modules(places or [])}


def _missing_name(module: str, name: str) -> str | None:
    try:
        imported = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        return f"importing {module!r} fails: {one_line(error)}"
    if hasattr(imported, name):
        return None
    return f"module {module!r} has no {name!r}{near(name, _servable(imported), LIKENESS_OF_NAMES)}"


def _servable(module: ModuleType) -> set[str]:
    return {name for name, value in vars(module).items() if callable(value) or isinstance(value, Application)}
