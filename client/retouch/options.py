"""The options of the calls. Each has its name, its type, its range and its sentence here, and nowhere else.

Both clients take `Unpack` of these typed dictionaries, so type checkers and editors know every option. At run time
`signatures` writes the options into the signatures and docstrings of the calls, and the command line makes its own
options from them.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypedDict, Union, get_args, get_origin, get_type_hints

from retouch.pictures import ImageInput
from retouch.results import Box, Point

if sys.version_info >= (3, 11):
    from typing import Unpack as Unpack
else:
    from typing_extensions import Unpack as Unpack

Mode = Literal["replace", "remove"]
FillMethod = Literal["classical", "painter"]
MaskMode = Literal["auto", "alpha", "luminance"]
MaskShape = Literal["silhouette", "hull", "box"]
Fill = Literal["noise", "original", "blur"]
Quality = Literal["auto", "low", "medium", "standard", "high", "xhigh", "max"]


@dataclass(frozen=True)
class About:
    """What an option does, in sentences; its unit, and the least and the most that it may be, where it has them.

    An option is sent as a field of the form, or if `header` names one, as that header of the request.
    """

    sentence: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    header: str = ""

    @property
    def limits(self) -> str:
        """The range and the unit, such as "0 to 1"."""
        if self.least is None:
            return self.unit
        limits = f"{self.least:g} or more" if self.most is None else f"{self.least:g} to {self.most:g}"
        return f"{limits}, {self.unit}" if self.unit else limits


class RequestOptions(TypedDict, total=False):
    """What the service needs to know about the request itself."""

    safety_identifier: Annotated[
        str | None,
        About(
            "A name for the person on whose behalf the picture is edited, such as the hash of a user's name. The "
            "service logs it, and the answer repeats it."
        ),
    ]
    idempotency_key: Annotated[
        str | None,
        About(
            "A name for this one edit, 1 to 255 visible ASCII characters. The service finishes an edit with such a "
            "name even when the connection breaks, and gives its answer to a later request with the same name.",
            header="Idempotency-Key",
        ),
    ]


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
    markup: Annotated[
        ImageInput | None,
        About(
            "A transparent picture of the same size with strokes painted around what is meant or on it, in place of a "
            "search by words. A loop is read as the box around it, any other drawing as a point in its middle."
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
    quality: Annotated[
        Quality | None,
        About(
            "The number of denoising steps by name, in place of the number itself: low takes half as many as usual, "
            "high 2 times, xhigh 3 times and max 4 times as many, the others the usual number."
        ),
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


class RemovalOptions(RegionOptions, FillOption, PainterOptions, RequestOptions, total=False):
    """What is meant, which region of it is filled, and how. The options of the painter need `fill_method` painter."""


class EditOptions(TargetOption, RegionOptions, PaintingOptions, FillOption, RequestOptions, total=False):
    """All options of an edit: what is meant, which region of it, how it is painted, and whether it is a removal."""

    mode: Annotated[
        Mode | None,
        About("replace paints the prompt; remove fills the place as if nothing had stood there."),
    ]


class PreviewOption(TypedDict, total=False):
    """What is shown of an edit on the way."""

    partial_images: Annotated[
        int | None,
        About(
            "How many unfinished pictures come on the way. Of several pictures it is the first seed that is shown. "
            "Fewer may come, and a classical fill has none.",
            least=0,
            most=3,
        ),
    ]


class StreamOptions(EditOptions, PreviewOption, total=False):
    """All options of an edit, and what is shown of it on the way."""


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


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, UnionType):
        return hint
    return reduce(or_, [kind for kind in get_args(hint) if kind is not NoneType])
