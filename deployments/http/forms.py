"""Read a multipart body: its text fields, and the bytes of its pictures.

The file name and the content type of an upload are ignored, with one exception: a browser sends a nameless and empty
file where nobody chose one, and that counts as not sent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from deployments.errors import BrokenForm, InvalidInput, UnknownField, UnsupportedBody
from deployments.limits import Limits

FILE_NAMES = {"image": "image", "image[]": "image", "mask": "mask"}  # the OpenAI SDK sends the second for a list
# So it sends lists, and lists of pairs, that are given to it as such: item by item.
LIST_NAMES = {"points[]": "points", "points[][]": "points", "labels[]": "labels", "box[]": "box"}
MAX_FILES = 17  # what OpenAI accepts, 16 pictures and a mask, so that it can be refused by name and not as a flood
MAX_FIELDS = 256  # room for 64 points and their labels, item by item
MIN_PART_BYTES = 262_144  # room for a text to be too long and still be refused by name
OVERHEAD_BYTES = 1_048_576  # what a body may have beside picture and mask


@dataclass(frozen=True)
class Form:
    """What a form holds: `texts` and the bytes of `files` by field name, and the names of files with other names."""

    texts: dict[str, str]
    files: dict[str, list[bytes]]
    other_files: tuple[str, ...] = ()

    def image(self) -> bytes:
        """Return the bytes of the one picture. Raises InvalidInput where there is none, or more than one."""
        images = self.files.get("image", [])
        if len(images) != 1:
            wrong = "is required: send one picture" if not images else f"was sent {len(images)} times"
            raise InvalidInput(f"`image` {wrong}. Exactly one is edited at a time.", "image")
        return images[0]

    def mask(self) -> bytes | None:
        """Return the bytes of the mask, None without one. Raises InvalidInput where there are several."""
        masks = self.files.get("mask", [])
        if len(masks) > 1:
            raise InvalidInput(f"`mask` was sent {len(masks)} times. At most one is accepted.", "mask")
        return masks[0] if masks else None


def most_bytes(limits: Limits) -> int:
    """Return the greatest size of a body: a picture, a mask and a little more."""
    return 2 * limits.max_image_bytes + OVERHEAD_BYTES


async def read_form(request: Request, limits: Limits) -> Form:
    """Return the form in the body of `request`. Raises InvalidInput where there is none, or the address has fields."""
    for name in request.query_params:
        raise UnknownField(f"`{name[:64]}` must be a field of the form: nothing is read from the address.", name[:64])
    boundary = _boundary(request.headers.get("content-type", ""))
    form = await _parsed(request, boundary, max(MIN_PART_BYTES, 4 * limits.max_prompt_chars))
    try:
        return await _sorted(form)
    finally:
        await form.close()


async def _sorted(form: FormData) -> Form:
    texts: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    files: dict[str, list[bytes]] = {}
    others: list[str] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) and name in FILE_NAMES and not value.filename and not value.size:
            continue
        if isinstance(value, UploadFile) and name in FILE_NAMES:
            files.setdefault(FILE_NAMES[name], []).append(await value.read())
        elif isinstance(value, UploadFile):
            others.append(name)
        elif name in LIST_NAMES:
            lists.setdefault(LIST_NAMES[name], []).append(value)
        else:
            _add(texts, name, value)
    for name, items in lists.items():
        _add(texts, name, ",".join(items))
    return Form(texts, files, tuple(others))


def _add(texts: dict[str, str], name: str, value: str) -> None:
    if name in texts:
        shown = name[:64]
        raise InvalidInput(f"`{shown}` was sent more than once.", shown)
    texts[name] = value


async def _parsed(request: Request, boundary: bytes, part_bytes: int) -> FormData:
    """Return the parts of the body, of which large files lie on disk. The caller has to close it."""
    async with aclosing(_whole(request.stream(), b"--" + boundary + b"--")) as body:
        parser = MultiPartParser(
            request.headers, body, max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=part_bytes
        )
        try:
            return await parser.parse()
        except MultiPartException as broken:
            raise BrokenForm(broken.message) from broken


async def _whole(body: AsyncGenerator[bytes, None], end: bytes) -> AsyncGenerator[bytes, None]:
    """Yield the parts of `body`. Raise MultiPartException if `end` never came, since the parser itself ignores that."""
    ended = False
    tail = b""
    async with aclosing(body):
        async for chunk in body:
            window = tail + chunk
            ended = ended or end in window
            tail = window[-len(end) :]
            yield chunk
    if not ended:
        raise MultiPartException("The multipart body ends too early.")


def _boundary(content_type: str) -> bytes:
    """Return what separates the parts of a body of this type. Refuse a body that is no multipart form in UTF-8."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedBody("Send the request as multipart/form-data.")
    # Python knows charsets in which bytes become lone surrogates, or take quadratic time.
    if options.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise UnsupportedBody("Send the form in UTF-8.")
    return options.get(b"boundary", b"")  # without one, the parser complains
