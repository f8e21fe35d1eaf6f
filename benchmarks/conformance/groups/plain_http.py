"""What curl, gateways and other libraries send: forms that are not those of the SDK, other methods, broken bodies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.conformance import pictures
from benchmarks.conformance.answers import edited_json, refused
from benchmarks.conformance.rows import Group, check
from benchmarks.conformance.server import EDITS, Server

ROWS = Group("plain_http", "Plain HTTP, as curl sends it")
REFUSED = range(400, 500)

PARTS: dict[str, tuple[str, Any]] = {
    "`image` with a name and a type": ("image", ("picture.png", pictures.picture(), "image/png")),
    "`image[]`": ("image[]", ("picture.png", pictures.picture(), "image/png")),
    "the type application/octet-stream": ("image", ("picture.png", pictures.picture(), "application/octet-stream")),
    "the type text/plain": ("image", ("picture.txt", pictures.picture(), "text/plain")),
    "the type image/gif and the name of a JPEG": ("image", ("picture.jpg", pictures.picture(), "image/gif")),
    "a name that is no file name": ("image", ('../"é;\n', pictures.picture(), "image/png")),
}


@ROWS.each(PARTS)
def picture_as(server: Server, part: tuple[str, Any]) -> None:
    """The picture is read from a part with {}"""
    name, file = part
    files = {name: file, "mask": server.files()["mask"]}
    edited_json(server.http.post(EDITS, data=server.texts(), files=files))


@ROWS.row
def no_file_name(server: Server) -> None:
    """A picture in a part without a file name is read, or `image` is refused"""
    files = {"image": (None, pictures.picture(), "image/png"), "mask": server.files()["mask"]}
    answer = server.http.post(EDITS, data=server.texts(), files=files)
    if answer.status_code in REFUSED:
        refused(answer, "image")
    else:
        edited_json(answer)


@ROWS.row
def chunked(server: Server) -> None:
    """A body of unknown length, in chunks, is read"""
    request = server.http.build_request("POST", EDITS, data=server.texts(), files=server.files())
    body = request.read()

    def chunks() -> Iterator[bytes]:
        yield from (body[start : start + 4096] for start in range(0, len(body), 4096))

    headers = {"content-type": request.headers["content-type"]}
    edited_json(server.http.post(EDITS, content=chunks(), headers=headers))


@ROWS.row
def no_image(server: Server) -> None:
    """A form without a picture is refused with 400, naming `image`"""
    refused(server.http.post(EDITS, data=server.texts(), files={"mask": server.files()["mask"]}), "image")


@ROWS.row
def no_prompt(server: Server) -> None:
    """A form without a prompt is refused with 400, naming `prompt`"""
    refused(server.post(prompt=None), "prompt")


@ROWS.row
def unknown_field(server: Server) -> None:
    """A form with an unknown field is refused with 400, naming it"""
    refused(server.post(colour_of_frame="red"), "colour_of_frame")


@ROWS.row
def truncated(server: Server) -> None:
    """A form that ends too early is refused with 400"""
    request = server.http.build_request("POST", EDITS, data=server.texts(), files=server.files())
    headers = {"content-type": request.headers["content-type"]}
    refused(server.http.post(EDITS, content=request.read()[:-400], headers=headers))


@ROWS.row
def empty_form(server: Server) -> None:
    """An empty body that claims to be a form is refused with 400"""
    refused(server.http.post(EDITS, headers={"content-type": "multipart/form-data; boundary=b"}))


@ROWS.row
def empty_body(server: Server) -> None:
    """A body of nothing at all is refused with 400 or 415"""
    refused(server.http.post(EDITS), statuses=(400, 415))


@ROWS.row
def another_type(server: Server) -> None:
    """A body that is neither a form nor JSON is refused with 400 or 415"""
    refused(server.http.post(EDITS, content=b"a lemon", headers={"content-type": "text/plain"}), statuses=(400, 415))


@ROWS.each({method: method for method in ("GET", "PUT", "DELETE", "PATCH")})
def wrong_method(server: Server, method: str) -> None:
    """{} is refused with 404 or 405, in JSON"""
    answer = server.http.request(method, EDITS)
    refused(answer, statuses=(404, 405))
    check(answer.status_code == 404 or "POST" in answer.headers.get("allow", ""), "the header Allow lacks POST")


@ROWS.row
def head(server: Server) -> None:
    """HEAD has the status of GET, and no body"""
    for path in (EDITS, "/models"):
        got, headed = server.http.get(path), server.http.head(path)
        check(headed.content == b"", f"HEAD {path} has a body")
        check(headed.status_code == got.status_code, f"{headed.status_code} for HEAD, {got.status_code} for GET {path}")


@ROWS.row
def options(server: Server) -> None:
    """OPTIONS is answered like a preflight, or refused in JSON"""
    answer = server.http.options(EDITS)
    if answer.status_code not in (200, 204):
        refused(answer, statuses=(404, 405))


@ROWS.row
def unknown_route(server: Server) -> None:
    """An unknown path is refused with 404, in JSON"""
    refused(server.http.post("/images/nothing-here"), statuses=(404,))


@ROWS.row
def refusals_have_ids(server: Server) -> None:
    """A refusal has an x-request-id, too"""
    for answer in (server.post(n="0"), server.http.get(EDITS), server.http.get("/nothing-here")):
        check(answer.headers.get("x-request-id"), f"the {answer.status_code} has none")
