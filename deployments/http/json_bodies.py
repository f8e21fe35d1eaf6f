"""Read a JSON body: its values, and its pictures out of data: URLs. Nothing is ever fetched.

    {"images": [{"image_url": "data:image/png;base64,..."}], "mask": {"image_url": "data:..."}, "prompt": "a lemon"}

A value of null counts as not sent.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
from typing import Any, NoReturn

from deployments.errors import InvalidInput, UnknownField
from deployments.http.forms import Form

# What JSON calls the files of a form. The first is a list.
IMAGES = "images"
JSON_FILES = {IMAGES: "image", "mask": "mask", "markup": "markup"}
URL = "image_url"
# Lists of millions of numbers would take many times the body's size, and hold up everything else while they are read.
MOST_COMMAS = 100_000
MOST_DEPTH = 32  # of objects and lists in each other; no field needs more than four
_WHITESPACE = b" \t\r\n\f"
_HOW = "Send the picture itself, as `data:image/png;base64,...`."


def read_json(body: bytes) -> Form:
    """Return what a JSON body holds. Raises InvalidInput, naming what cannot be read.

    It does not know the route's fields: whether a name is one of them is checked where those of forms are.
    """
    values = _parsed(body)
    files: dict[str, list[bytes]] = {}
    places = {"image": IMAGES}
    for key, file in JSON_FILES.items():
        sent = values.pop(key, None)
        if sent is None or sent == []:
            continue
        place, picture = _the_one(sent) if key == IMAGES else (key, sent)
        places[file] = f"{place}.{URL}"
        files[file] = [_picture(picture, place)]
    return Form(values, files, file_names=JSON_FILES, places=places)


def _parsed(body: bytes) -> dict[str, Any]:
    """Return the object in a body, without its nulls."""
    if body.count(b",") > MOST_COMMAS:
        raise InvalidInput("The body is no request: its JSON has too many values.")
    try:
        parsed = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_number)
        _check_texts(parsed)
    except InvalidInput:
        raise
    except RecursionError:
        raise InvalidInput("The body is no request: its JSON is nested too deeply.") from None
    except ValueError:  # also of bytes that are no UTF-8, and of a number with thousands of digits
        raise InvalidInput("The body says that it is JSON, and cannot be read as JSON in UTF-8.") from None
    if not isinstance(parsed, dict):
        raise InvalidInput('The body must be a JSON object, such as {"images": [...], "prompt": "a lemon"}.')
    return parsed


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object without its nulls. JSON allows a key twice, of which parsers keep one or the other."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _check_texts(key)
            raise InvalidInput(f"`{key[:64]}` was sent more than once.", key[:64])
        found[key] = value
    return {key: value for key, value in found.items() if value is not None}


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")


def _check_texts(value: Any, depth: int = 0) -> None:
    """Raise a ValueError for half of a surrogate pair, which JSON can write and no text can hold.

    Raises RecursionError for what is nested more deeply than any field is.
    """
    if depth > MOST_DEPTH:
        raise RecursionError
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict):
        for key, item in value.items():
            key.encode()
            _check_texts(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item, depth + 1)


def _the_one(images: Any) -> tuple[str, Any]:
    """Return the one picture of a list, and its place in the body."""
    if not isinstance(images, list):
        raise InvalidInput(f'`images` must be a list of one object, such as [{{"{URL}": "data:..."}}].', IMAGES)
    if len(images) > 1:
        raise InvalidInput(f"`images` has {len(images)} pictures. Exactly one is edited at a time.", IMAGES)
    return f"{IMAGES}[0]", images[0]


def _picture(sent: Any, place: str) -> bytes:
    """Return the bytes of the picture that a JSON object has in a data: URL."""
    if not isinstance(sent, dict):
        raise InvalidInput(f'`{place}` must be an object, such as {{"{URL}": "data:image/png;base64,..."}}.', place)
    for key in sent:
        name = f"{place}.{key[:64]}"
        if key == "file_id":
            raise InvalidInput(f"`{name}` cannot be used: no files are kept here. Use `{URL}`. {_HOW}", name)
        if key != URL:
            close = f" Did you mean `{URL}`?" if difflib.get_close_matches(key[:64], [URL]) else ""
            raise UnknownField(f"There is no field `{name}`.{close}", name)
    return _of_data_url(sent.get(URL), f"{place}.{URL}")


def _of_data_url(url: Any, name: str) -> bytes:
    if url is None or url == "":
        raise InvalidInput(f"`{name}` is required. {_HOW}", name)
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not (comma and head[:5].lower() == "data:"):
        raise InvalidInput(f"`{name}` must be a data: URL: no address is ever fetched. {_HOW}", name)
    if not head.lower().endswith(";base64"):
        raise InvalidInput(f"`{name}` must be a data: URL in base64. {_HOW}", name)
    try:
        # Some encoders break the lines.
        return base64.b64decode(data.encode("ascii").translate(None, _WHITESPACE), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidInput(f"`{name}` has a data: URL that is no base64. {_HOW}", name) from None
