"""The options of the calls. Each has its name, its type, its range and its sentence here, and nowhere else.

Both clients take `Unpack` of these typed dictionaries, so type checkers and editors know every option. At run time
`lists_options` writes the options into the signatures and docstrings of the calls, and the command line makes its own
options from them.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypedDict, TypeVar, Union, get_args, get_origin, get_type_hints

from retouch.pictures import ImageInput
from retouch.results import Box, Point

if sys.version_info >= (3, 11):
    from typing import Unpack as Unpack
else:
    from typing_extensions import Unpack as Unpack

F = TypeVar("F", bound=Callable[..., Any])
Mode = Literal["replace", "remove"]
FillMethod = Literal["classical", "painter"]
MaskMode = Literal["auto", "alpha", "luminance"]
MaskShape = Literal["silhouette", "hull", "box"]
Fill = Literal["noise", "original", "blur"]


@dataclass(frozen=True)
class About:
    """What an option does, in sentences; its unit, and the least and the most that it may be, where it has them."""

    sentence: str
    unit: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def limits(self) -> str:
        """The range and the unit, such as "0 to 1"."""
        if self.least is None:
            return self.unit
        limits = f"{self.least:g} or more" if self.most is None else f"{self.least:g} to {self.most:g}"
        return f"{limits}, {self.unit}" if self.unit else limits


class TargetOption(TypedDict, total=False):
    """What an edit looks for."""

    target: Annotated[
        str | None,
        About(
            "What to find. An edit without it finds what the prompt names. Beside points, a box or a mask it has to "
            "name what lies there."
        ),
    ]


class SearchOptions(TypedDict, total=False):
    """What is meant, beside the words of the target."""

    avoid: Annotated[str | None, About("What is not meant, however much it looks like the target.")]
    all: Annotated[
        bool | None,
        About(
            "Take every one of the things that the target names, or only one of them. Without this option the words "
            'of the target decide: "each lemon", "both balloons" and "the dogs" mean all of them.'
        ),
    ]
    points: Annotated[
        Sequence[Point] | None,
        About("Points (x, y) on what is meant, in place of a search by words.", "pixels of the upright picture"),
    ]
    labels: Annotated[
        Sequence[int] | None,
        About(
            "For each of the points, whether it lies on what is meant (1) or beside it (0). Without labels all points "
            "lie on it."
        ),
    ]
    box: Annotated[
        Box | None,
        About(
            "A box (left, top, right, bottom) around what is meant, in place of a search by words. Right and bottom "
            "are exclusive.",
            "pixels of the upright picture",
        ),
    ]


class RegionOptions(SearchOptions, total=False):
    """What is meant, and which region of it is repainted."""

    mask: Annotated[
        ImageInput | None,
        About(
            "A picture of the same size that marks what to repaint, in place of any search: where it is transparent, "
            "or where it is white if it has no alpha channel."
        ),
    ]
    mask_mode: Annotated[
        MaskMode | None,
        About(
            "How the mask marks what to repaint: alpha where it is transparent, luminance where it is light. auto is "
            "alpha if the mask has an alpha channel, else luminance."
        ),
    ]
    candidate: Annotated[
        int | None, About("The index of one of the candidates that `locate` lists; the best is 0.", least=0, most=31)
    ]
    mask_shape: Annotated[
        MaskShape | None,
        About("The shape of the region: the outline of what was found, the convex hull of it, or its box."),
    ]
    dilation: Annotated[
        float | None,
        About("How far the region grows beyond that shape.", "a share of its longest side", least=0, most=1),
    ]


class PainterOptions(TypedDict, total=False):
    """What the painter heeds, whatever it paints."""

    negative_prompt: Annotated[
        str | None, About("What not to paint. It acts only where the guidance scale is above 1.")
    ]
    n: Annotated[
        int | None, About("How many pictures to paint, each from a seed of its own; they come best first.", least=1)
    ]
    seed: Annotated[
        int | None,
        About(
            "The same seed paints the same picture again. Of several pictures the first has this seed, the second the "
            "next. Without it the service draws one.",
            least=0,
        ),
    ]
    num_inference_steps: Annotated[
        int | None, About("How many denoising steps are taken. More steps take longer.", least=1)
    ]
    guidance_scale: Annotated[float | None, About("How strictly the painting follows the prompt.", least=0)]
    strength: Annotated[
        float | None,
        About("Less than 1 keeps more of the picture and takes that share of the steps.", least=0.01, most=1),
    ]
    fill: Annotated[
        Fill | None,
        About(
            "What the painting starts from: noise, the original, or a blur of the surroundings. Without it, the "
            "original where the strength is below 1, else noise."
        ),
    ]
    scheduler: Annotated[str | None, About('The scheduler that takes the steps, such as "euler".')]


class FillOption(TypedDict, total=False):
    """How the place of something is filled."""

    fill_method: Annotated[
        FillMethod | None,
        About(
            "How a removal fills the place: classical from its surroundings, without a model and without the options "
            "of the painter; painter lets the painter continue the ground. Only for a removal."
        ),
    ]


class PaintingOptions(PainterOptions, total=False):
    """How the region is painted."""

    min_score: Annotated[
        float | None,
        About(
            "Paint from further seeds, as often as the service allows, while the best region scores less than this.",
            "the cosine of CLIP",
            least=-1,
            most=1,
        ),
    ]


class RemovalOptions(RegionOptions, FillOption, PainterOptions, total=False):
    """What is meant, which region of it is filled, and how. The options of the painter need `fill_method` painter."""


class EditOptions(TargetOption, RegionOptions, PaintingOptions, FillOption, total=False):
    """All options of an edit: what is meant, which region of it, how it is painted, and whether it is a removal."""

    mode: Annotated[
        Mode | None,
        About("replace paints the prompt; remove fills the place as if nothing had stood there."),
    ]


@cache
def options_of(kind: type) -> Mapping[str, tuple[Any, About]]:
    """Return the type (without None) and the description of each option of a typed dictionary, by name."""
    hints = get_type_hints(kind, include_extras=True)
    described = {name: get_args(hint) for name, hint in hints.items()}
    return {name: (_without_none(hint), about) for name, (hint, about) in described.items()}


def check_names(call: str, given: Collection[str], kind: type) -> None:
    """Raise `TypeError`, as Python does for a signature that is written out, if `given` holds an unknown option."""
    for name in given:
        if name not in options_of(kind):
            raise TypeError(f"{call}() got an unexpected keyword argument {name!r}")


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


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, UnionType):
        return hint
    return reduce(or_, [kind for kind in get_args(hint) if kind is not NoneType])
