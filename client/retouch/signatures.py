"""The signatures and docstrings of the calls, with every option in them."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from retouch.options import About, options_of
from retouch.pictures import ImageInput
from retouch.results import Box, Point

F = TypeVar("F", bound=Callable[..., Any])


def lists_options(call: F) -> F:
    """Write the options that `call` takes as `**options: Unpack[...]` into its signature and its docstring."""
    (kind,) = get_args(get_type_hints(call)["options"])
    options = options_of(kind)
    signature = inspect.signature(call)
    *parameters, _ = signature.parameters.values()
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=f"{_type_name(hint)} | None")
        for name, (hint, _) in options.items()
    ]
    listed = "\n".join(_listed(name, hint, about) for name, (hint, about) in options.items())
    written: Any = call
    written.__signature__ = signature.replace(parameters=parameters)
    written.__doc__ = f"{inspect.cleandoc(call.__doc__ or '')}\n\n{_HEADING}\n\n{listed}\n"
    return call


_HEADING = "Options. The service chooses the value of an option that is left out or None:"
_TYPE_NAMES: Mapping[Any, str] = {Point: "Point", Box: "Box", ImageInput: "ImageInput"}


def _listed(name: str, hint: Any, about: About) -> str:
    head = ", ".join(filter(None, [f"{name}: {_type_name(hint)}", about.limits]))
    return f"{head}\n{textwrap.indent(textwrap.fill(about.sentence, 96), '    ')}"


def _type_name(hint: Any) -> str:
    """Return a type as this file writes it."""
    if hint in _TYPE_NAMES:
        return _TYPE_NAMES[hint]
    if get_origin(hint) is Literal:
        return f"Literal[{', '.join(repr(choice) for choice in get_args(hint))}]"
    if arguments := get_args(hint):
        return f"{get_origin(hint).__name__}[{', '.join(map(_type_name, arguments))}]"
    return str(hint.__name__)
