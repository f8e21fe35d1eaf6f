"""What answers must look like: a picture that was edited, or a refusal that names the field at fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import httpx
import openai
from openai.types import ImagesResponse
from PIL import Image

from benchmarks.conformance import pictures
from benchmarks.conformance.rows import Fails, check

# Tracebacks, addresses in memory and places of a library's files: what no caller may ever see.
LEAK = re.compile(r"Traceback|site-packages|File \\?\"|0x[0-9a-f]{6,}")
USAGE = ("input_tokens", "output_tokens", "total_tokens")


def edited(answer: ImagesResponse, n: int = 1) -> list[Image.Image]:
    """Return the pictures of an edit. Raises Fails where there are not `n`, or one is not what the answer says."""
    check(answer.data, "the answer has no `data`")
    check(len(answer.data or ()) == n, f"the answer has {len(answer.data or ())} pictures instead of {n}")
    found = [_picture(one.b64_json) for one in answer.data or ()]
    for image in found:
        _check_described(image, answer.size, answer.output_format)
    return found


def edited_json(answer: httpx.Response) -> dict[str, Any]:
    """Return the body of a JSON answer that has a picture. Raises Fails for any other answer."""
    check(answer.status_code == 200, shown(answer))
    body = _json(answer)
    check(body.get("data"), "the answer has no `data`")
    for one in body["data"]:
        _check_described(_picture(one.get("b64_json")), body.get("size"), body.get("output_format"))
    return body


def check_usage(usage: Any) -> dict[str, Any]:
    """Return `usage`. Raises Fails unless it counts tokens that add up."""
    check(isinstance(usage, dict), "there is no `usage`")
    missing = [name for name in USAGE if not isinstance(usage.get(name), int)]
    check(not missing, f"`usage` lacks {', '.join(missing)}")
    check(
        usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"], f"the tokens of {usage} do not add up"
    )
    details: Any = usage.get("input_tokens_details") or {}
    image, text = details.get("image_tokens"), details.get("text_tokens")
    check(isinstance(image, int) and isinstance(text, int), "`usage` lacks `input_tokens_details`")
    check(image + text == usage["input_tokens"], f"the input tokens of {usage} do not add up")
    checked: dict[str, Any] = usage
    return checked


def refused_sdk(
    ask: Callable[[], object], param: str | None = None, statuses: Collection[int] = (400,)
) -> openai.APIStatusError:
    """Return the SDK's error. Raises Fails where the server served `ask`, or does not say what is wrong."""
    try:
        ask()
    except openai.APIStatusError as error:
        check(error.status_code in statuses, f"status {error.status_code} instead of {_or(statuses)}: {error.message}")
        check_error(_json(error.response), param)
        return error
    raise Fails("it was served")


def served_or_refused(ask: Callable[[], ImagesResponse], param: str) -> ImagesResponse | None:
    """Return what `ask` returns, or None where the server refused it by the name `param`. Both are right."""
    served: list[ImagesResponse] = []
    try:
        refused_sdk(lambda: served.append(ask()), param)
    except Fails:
        if not served:
            raise
    return served[0] if served else None


def refused(
    answer: httpx.Response, param: str | None = None, statuses: Collection[int] = (400,), code: str | None = None
) -> dict[str, Any]:
    """Return the error of a refusal over plain HTTP. Raises Fails where it is served, or not refused like this."""
    check(answer.status_code in statuses, f"{shown(answer)} instead of {_or(statuses)}")
    return check_error(_json(answer), param, code)


def check_error(body: Any, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the `error` of a body. Raises Fails unless it has the contract's form and names `param` and `code`."""
    error = body.get("error") if isinstance(body, dict) else None
    check(isinstance(error, dict), f"the body is not {{'error': {{...}}}} but {str(body)[:120]}")
    assert isinstance(error, dict)
    for name in ("message", "type"):
        check(isinstance(error.get(name), str) and error[name], f"the error has no `{name}`")
    for name in ("param", "code"):
        check(name in error, f"the error lacks the key `{name}`")
    check(not LEAK.search(str(error)), f"the error shows what is inside of the server: {str(error)[:120]}")
    if param is not None:
        check(names(error["param"], param), f"the error names {error['param']!r} instead of {param!r}")
        check(isinstance(error["code"], str) and error["code"], "the error has no `code`")
    check(code is None or error["code"] == code, f"the code is {error['code']!r} instead of {code!r}")
    return error


def shown(answer: httpx.Response) -> str:
    """Return the status of an answer, and what it says if it is a short text."""
    kind, text = (
        answer.headers.get("content-type", "of no type"),
        answer.text[:200] if answer.status_code >= 400 else "",
    )
    return f"status {answer.status_code} ({kind}) {text}".rstrip()


def names(param: object, field: str) -> bool:
    """Say whether `param` names a field or what lies in it, as `svg[model]` lies in `svg`."""
    return isinstance(param, str) and (param == field or param.startswith((f"{field}[", f"{field}.")))


def _picture(b64: str | None) -> Image.Image:
    check(b64, "the answer has no `b64_json`")
    assert b64 is not None
    try:
        return pictures.opened(b64)
    except (ValueError, OSError) as broken:
        raise Fails(f"`b64_json` is no picture: {broken}") from broken


def _check_described(image: Image.Image, size: str | None, output_format: str | None) -> None:
    shown = f"{image.width}x{image.height}"
    check(size in (None, shown), f"the picture has {shown} pixels, and the answer says {size}")
    kind = (image.format or "").lower()
    check(output_format in (None, kind), f"the picture is a {kind}, and the answer says {output_format}")


def _json(answer: Any) -> Any:
    """Return the JSON of a response of httpx, or of the SDK's own HTTP library."""
    kind = answer.headers.get("content-type", "")
    check(kind.partition(";")[0] == "application/json", f"the content type is {kind!r} instead of application/json")
    return answer.json()


def _or(statuses: Collection[int]) -> str:
    return " or ".join(map(str, statuses))
