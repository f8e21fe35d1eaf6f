"""Read a multipart body: its text fields, and the bytes of its pictures.

The file name and the content type of an upload are ignored, with one exception: a browser sends a nameless and empty
file where nobody chose one, and that counts as not sent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from deployments.errors import BrokenForm, InvalidInput
from deployments.limits import Limits

# The OpenAI SDK sends the second of these for a list.
FILE_NAMES = {"image": "image", "image[]": "image", "mask": "mask", "markup": "markup"}
# So it sends lists, and lists of pairs, that are given to it as such: item by item.
LIST_NAMES = {"points[]": "points", "points[][]": "points", "labels[]": "labels", "box[]": "box"}
MAX_FILES = 18  # what OpenAI accepts, 16 pictures and two more, so that it can be refused by name and not as a flood
MAX_FIELDS = 256  # room for 64 points and their labels, item by item
MIN_PART_BYTES = 262_144  # room for a text to be too long and still be refused by name


@dataclass(frozen=True)
class Form:
    """What a body holds: values and the bytes of files by field name, and the names of files with other names.

    The values of a form are texts; those of JSON may be numbers, booleans and lists. `file_names` has the files by the
    names that such a body has for them, and `places` says where in the body a file was, if not under its own name.
    """

    values: dict[str, Any]
    files: dict[str, list[bytes]]
    other_files: tuple[str, ...] = ()
    file_names: Mapping[str, str] = field(default_factory=lambda: FILE_NAMES)
    places: Mapping[str, str] = field(default_factory=dict)

    def place_of(self, file: str) -> str:
        """Return where in the body a file was, which is what refusals call it."""
        return self.places.get(file, file)

    def image(self) -> bytes:
        """Return the bytes of the one picture. Raises InvalidInput where there is none, or more than one."""
        images, name = self.files.get("image", []), self.place_of("image")
        if len(images) != 1:
            wrong = "is required: send one picture" if not images else f"was sent {len(images)} times"
            raise InvalidInput(f"`{name}` {wrong}. Exactly one is edited at a time.", name)
        return images[0]

    def file(self, name: str) -> bytes | None:
        """Return the bytes of the mask or the markup, None without one. Raises InvalidInput where there are several."""
        files = self.files.get(name, [])
        if len(files) > 1:
            raise InvalidInput(f"`{name}` was sent {len(files)} times. At most one is accepted.", name)
        return files[0] if files else None


async def read_form(request: Request, boundary: bytes, limits: Limits) -> Form:
    """Return the multipart form in the body of `request`. Raises InvalidInput where it is broken."""
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
        _add(texts, name, f"[{','.join(items)}]" if any(map(str.strip, items)) else "")
    return Form(dict(texts), files, tuple(others))


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
