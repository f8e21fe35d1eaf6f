"""What Retouch adds to an edit: finding by words, pictures as such, seeds, and its promises."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

from openai.types import ImagesResponse
from PIL import Image, ImageChops

from benchmarks.conformance import pictures
from benchmarks.conformance.answers import check_usage, edited, edited_json, refused, shown
from benchmarks.conformance.rows import Group, check
from benchmarks.conformance.server import EDITS, Server

ROWS = Group("retouch", "Retouch: beyond the contract", only_retouch=True)
PNG = {"accept": "image/png"}
PIXELS_A_TOKEN = 1024
REGION_PX = (pictures.REGION[2] - pictures.REGION[0]) * (pictures.REGION[3] - pictures.REGION[1])


def seeded(server: Server, seed: int, **fields: Any) -> ImagesResponse:
    """Return the answer to the usual edit with a seed."""
    return server.edit(extra_body={"seed": seed}, **fields)


def painted(server: Server, seed: int) -> tuple[bytes, object]:
    """Return the pixels of the usual edit with a seed, and the execution that painted them."""
    answer = seeded(server, seed)
    (image,) = edited(answer)
    return image.tobytes(), ((answer.data or [])[0].model_extra or {}).get("execution")


def by_one_execution(*asks: Callable[[], tuple[bytes, object]]) -> list[bytes]:
    """Return the pixels of each, painted by the same execution.

    A replica goes over to a faster one once, soon after its start, so where they differ all are asked again.
    """
    found = [ask() for ask in asks]
    if len({execution for _, execution in found}) > 1:
        found = [ask() for ask in asks]
    return [pixels for pixels, _ in found]


def _extra(answer: ImagesResponse, name: str) -> Any:
    """Return a field of the answer that the SDK does not know."""
    return (answer.model_extra or {}).get(name)


@ROWS.row
def target(server: Server) -> None:
    """`target` is found, and only there the picture changes"""
    answer = server.edit(mask=None, extra_body={"target": "the purple heart"})
    (image,) = edited(answer)
    inside, outside = pictures.change(image)
    check(outside < inside / 2, f"levels change by {inside:.1f} around the heart and by {outside:.1f} elsewhere")
    check(_extra(answer, "target") == "the purple heart", f"the answer has the `target` {_extra(answer, 'target')!r}")


@ROWS.row
def not_found(server: Server) -> None:
    """422 target_not_found for what is not there, with the best guess"""
    answer = server.http.post(EDITS, data=server.texts(target="a unicorn"), files={"image": server.files()["image"]})
    refused(answer, "target", (422,), "target_not_found")
    location = answer.json().get("location") or {}
    check(location.get("found") is False, "there is no `location` with the best guess")
    check(len(location.get("point", ())) == 2, "the best guess has no `point`")


@ROWS.row
def points(server: Server) -> None:
    """`points` say where, as a text and as a list in JSON"""
    form = server.http.post(EDITS, data=server.texts(points="128,130"), files={"image": server.files()["image"]})
    body = server.post_json(mask=None, points=[[128, 130]])
    for answer in (form, body):
        check(edited_json(answer)["point"] == [128, 130], f"the point is {answer.json()['point']}")


@ROWS.row
def outside_the_mask(server: Server) -> None:
    """Outside the mask not one pixel changes, and the answer says so"""
    answer = seeded(server, 3)
    (image,) = edited(answer)
    changed = ImageChops.difference(pictures.scene(), image.convert("RGB")).getbbox()
    left, top, right, bottom = changed or (0, 0, 0, 0)
    box = pictures.REGION
    within = changed and left >= box[0] and top >= box[1] and right <= box[2] and bottom <= box[3]
    check(within, f"what changes lies in {changed}, the mask in {box}")
    check(_extra(answer, "changed_outside_px") == 0, f"`changed_outside_px` is {_extra(answer, 'changed_outside_px')}")


@ROWS.row
def mask_read(server: Server) -> None:
    """The answer says how the mask was read"""
    read = _extra(seeded(server, 3), "mask_read") or {}
    check((read.get("mode"), read.get("marked_px")) == ("alpha", REGION_PX), f"`mask_read` is {read}")


@ROWS.row
def seeds(server: Server) -> None:
    """The same seed gives the same pixels, another seed others"""
    first, again, other = by_one_execution(*(partial(painted, server, seed) for seed in (5, 5, 6)))
    check(first == again, "the same seed gave other pixels")
    check(first != other, "another seed gave the same pixels")


@ROWS.row
def picture_itself(server: Server) -> None:
    """`Accept: image/png` gets the picture itself, with the seed in a header"""
    answer = server.post(headers=PNG, seed="3")
    is_picture = answer.status_code == 200 and answer.headers.get("content-type") == "image/png"
    check(is_picture, f"no picture came but {shown(answer)}")
    with Image.open(io.BytesIO(answer.content)) as image:
        check(image.size == (pictures.SIDE, pictures.SIDE), f"it has {image.size} pixels")
    check(answer.headers.get("x-retouch-seed") == "3", "the header x-retouch-seed is not 3")


@ROWS.row
def usage_is_counted(server: Server) -> None:
    """`usage` counts 1024 pixels a token, and no output tokens for a classical removal"""
    image_tokens = -(-pictures.SIDE * pictures.SIDE // PIXELS_A_TOKEN)
    painted = check_usage(edited_json(server.post()).get("usage"))
    removed = check_usage(edited_json(server.post(prompt=None, quality=None, mode="remove")).get("usage"))
    for usage in (painted, removed):
        details = usage["input_tokens_details"]
        check(details["image_tokens"] == image_tokens, f"{details} instead of {image_tokens} image tokens")
    check(painted["output_tokens"] > 0, "the painting has no output tokens")
    check(painted["input_tokens_details"]["text_tokens"] > 0, "the prompt has no tokens")
    check(removed["output_tokens"] == 0, f"the removal has {removed['output_tokens']} output tokens")


@ROWS.row
def markup_read(server: Server) -> None:
    """`markup` says where, and the answer how its strokes were read"""
    markup = ("markup.png", pictures.strokes(), "image/png")
    read = _extra(server.edit(mask=None, markup=markup), "markup_read") or {}
    check(read.get("marked_px", 0) > 0, f"`markup_read` is {read}")


@ROWS.row
def suggests(server: Server) -> None:
    """A field with a spelling mistake is refused with the right name"""
    error = refused(server.post(negativ_prompt="blur"), "negativ_prompt", code="unknown_parameter")
    check("`negative_prompt`" in error["message"], f"the message is {error['message']!r}")
