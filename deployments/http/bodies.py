"""Read the body of a request, which may be a multipart form or JSON: afterwards there is no difference."""

from __future__ import annotations

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from deployments.errors import UnknownField, UnsupportedBody
from deployments.http.failures import OffLoop
from deployments.http.forms import Form, read_form
from deployments.http.json_bodies import read_json
from deployments.limits import Limits

FORM, JSON = "multipart/form-data", "application/json"
OVERHEAD_BYTES = 1_048_576  # what a body may have beside its pictures


def most_bytes(limits: Limits, content_type: str = FORM) -> int:
    """Return the greatest size of a body of this type: a picture, a mask or a markup, and a little more."""
    pictures = 2 * limits.max_image_bytes
    if parse_options_header(content_type)[0] == JSON.encode():
        pictures = -(-4 * pictures // 3)  # base64 has four characters for three bytes
    return pictures + OVERHEAD_BYTES


async def read_body(request: Request, limits: Limits, off_loop: OffLoop) -> Form:
    """Return what the body of `request` holds. JSON, which may be large, is read `off_loop`.

    Raises InvalidInput where it cannot be read, or where the address has fields.
    """
    for name in request.query_params:
        raise UnknownField(f"`{name[:64]}` must be a field of the form: nothing is read from the address.", name[:64])
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind not in (FORM.encode(), JSON.encode()):
        raise UnsupportedBody(f"Send the request as {FORM} or as {JSON}.")
    # Python knows charsets in which bytes become lone surrogates, or take quadratic time.
    if options.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise UnsupportedBody("Send the request in UTF-8.")
    if kind == FORM.encode():
        return await read_form(request, options.get(b"boundary", b""), limits)  # without one, the parser complains
    form: Form = await off_loop(read_json, await request.body())
    return form
