"""What Retouch adds to streams: progress, and the same picture as without a stream."""

from __future__ import annotations

from typing import Any

from benchmarks.conformance import pictures
from benchmarks.conformance.answers import edited_json, refused
from benchmarks.conformance.events import COMPLETED, PARTIAL, PROGRESS, of_type, streamed
from benchmarks.conformance.groups.retouch import by_one_execution, painted
from benchmarks.conformance.rows import Group, check
from benchmarks.conformance.server import Server

ROWS = Group("retouch_streams", "Retouch: streams beyond the contract", only_retouch=True)
STAGES = {"locate", "segment", "inpaint", "fill", "score"}


@ROWS.row
def same_picture(server: Server) -> None:
    """A stream ends with the picture that a plain answer has for the same seed"""

    def completed() -> tuple[bytes, object]:
        (event,) = of_type(streamed(server.post(stream="true", partial_images="2", seed="3")), COMPLETED)
        return pictures.opened(event["b64_json"]).tobytes(), event.get("execution")

    last, plain = by_one_execution(completed, lambda: painted(server, 3))
    check(last == plain, "the pixels differ")


@ROWS.row
def whole_answer(server: Server) -> None:
    """A completed event has every field of the plain answer, and of its picture"""
    (event,) = of_type(streamed(server.post(stream="true")), COMPLETED)
    plain = edited_json(server.post())
    missing = (plain.keys() - {"data", "created"} | plain["data"][0].keys()) - event.keys()
    check(not missing, f"it lacks {', '.join(sorted(missing))}")


@ROWS.row
def best_first(server: Server) -> None:
    """Several completed events are numbered, best first, and say how many there are"""
    found = of_type(streamed(server.post(stream="true", n="2", seed="3")), COMPLETED)
    numbered = [(event.get("index"), event.get("count")) for event in found]
    check(numbered == [(0, 2), (1, 2)], f"`index` and `count` are {numbered}")
    scores = [event["score"]["region_after"] for event in found]
    check(scores == sorted(scores, reverse=True), f"the scores are {scores}")


@ROWS.row
def partials_keep_the_mask(server: Server) -> None:
    """A partial picture is the whole picture, unchanged outside the mask"""
    partials = of_type(streamed(server.post(stream="true", partial_images="2")), PARTIAL)
    check(partials, "there is none")
    for event in partials:
        _, outside = pictures.change(pictures.opened(event["b64_json"]))
        check(outside == 0, f"levels change by {outside:.2f} outside the mask")


@ROWS.row
def progress(server: Server) -> None:
    """`progress=true` streams the stages, and the steps up to the last"""
    found = of_type(streamed(server.post(stream="true", progress="true")), PROGRESS)
    stages = {event["stage"] for event in found}
    check("inpaint" in stages and stages <= STAGES, f"the stages are {sorted(stages)}")
    steps = [(event["done"], event["total"]) for event in found if event["stage"] == "inpaint"]
    check(steps == sorted(steps), f"the steps are {steps}")
    check(all(done <= total for done, total in steps), f"the steps are {steps}")


@ROWS.each({"partial_images=2": ("partial_images", "2"), "progress=true": ("progress", "true")})
def without_a_stream(server: Server, case: tuple[str, Any]) -> None:
    """{} without a stream is refused by its name"""
    name, value = case
    refused(server.post(**{name: value}), name)


@ROWS.row
def picture_itself(server: Server) -> None:
    """`Accept: image/png` with a stream is refused, naming `stream`"""
    refused(server.post(headers={"accept": "image/png"}, stream="true"), "stream")
