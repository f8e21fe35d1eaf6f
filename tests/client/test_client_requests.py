"""What is on the wire when a call is made."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from retouch import Retouch, __version__
from retouch.pictures import read_picture


def test_edit_sends_only_what_is_set(service: Any, photo: Path) -> None:
    service.client().edit(photo, "a lemon")
    (seen,) = service.seen
    assert (seen.method, seen.path) == ("POST", "/v1/images/edits")
    assert seen.texts == {"prompt": "a lemon", "response_format": "b64_json"}


EVERY_OPTION = {
    "target": "the apple",
    "avoid": "the pear",
    "all": True,
    "mode": "replace",
    "points": [(120, 80), (200, 90)],
    "labels": (1, 0),
    "box": (40, 30, 220, 160),
    "mask": Image.new("L", (48, 32), 7),
    "mask_mode": "luminance",
    "markup": Image.new("RGBA", (48, 32)),
    "candidate": 0,
    "mask_shape": "hull",
    "dilation": 0.0,
    "negative_prompt": "",
    "n": 2,
    "seed": 0,
    "num_inference_steps": 20,
    "quality": "max",
    "guidance_scale": 7.5,
    "strength": 0.4,
    "fill": "blur",
    "fill_method": "painter",
    "scheduler": "euler",
    "min_score": -0.25,
    "safety_identifier": "user 7",
    "idempotency_key": "edit-7",
}
PICTURES = {"mask", "markup"}
HEADERS = {"idempotency_key": "Idempotency-Key"}
AS_SENT = EVERY_OPTION | {"all": "true", "points": "120,80; 200,90", "labels": "1,0", "box": "40,30,220,160"}


def sent(name: str) -> str:
    return str(AS_SENT[name])


def test_edit_sends_all_that_is_set(service: Any, photo: Path) -> None:
    service.client().edit(photo, "a lemon, “größer”\nand round", **EVERY_OPTION)
    (seen,) = service.seen
    texts = {name: sent(name) for name in EVERY_OPTION if name not in PICTURES and name not in HEADERS}
    assert seen.texts == texts | {"prompt": "a lemon, “größer”\nand round", "response_format": "b64_json"}
    assert set(seen.form) - set(seen.texts) == {"image", *PICTURES}
    assert seen.headers["idempotency-key"] == "edit-7"


@pytest.mark.parametrize("kind", ["client", "async_client"])
@pytest.mark.parametrize("call", ["edit", "remove", "locate"])
def test_each_option_is_passed_on_as_itself(service: Any, photo: Path, kind: str, call: str) -> None:
    """Each client passes its options on in its own way, so a slip would be easy."""
    client = getattr(service, kind)()
    options = set(inspect.signature(getattr(client, call)).parameters) - {"image", "prompt"}
    assert options <= set(EVERY_OPTION)
    for name in options:
        made = getattr(client, call)(photo, **{name: EVERY_OPTION[name]})
        if inspect.isawaitable(made):
            asyncio.run(awaited(made))
        seen = service.seen[-1]
        always = {"response_format": "b64_json"} if call != "locate" else {}
        always |= {"mode": "remove"} if call == "remove" else {}
        assert seen.texts == always | ({name: sent(name)} if name not in PICTURES and name not in HEADERS else {})
        assert {part for part in PICTURES if part in seen.form} == {name} & PICTURES
        assert {key for key, header in HEADERS.items() if header in seen.headers} == {name} & set(HEADERS)


async def awaited(made: Awaitable[Any]) -> Any:
    return await made


def test_a_stream_asks_for_itself_beside_what_an_edit_sends(service: Any, photo: Path) -> None:
    client = service.client()
    client.edit(photo, "a lemon", **EVERY_OPTION)
    list(client.edit_stream(photo, "a lemon", partial_images=0, **EVERY_OPTION))
    edit, stream = service.seen
    assert stream.texts == edit.texts | {"stream": "true", "progress": "true", "partial_images": "0"}
    assert {name: part.content for name, part in stream.form.items() if name not in stream.texts} == {
        name: part.content for name, part in edit.form.items() if name not in edit.texts
    }
    assert stream.headers["idempotency-key"] == "edit-7"


@pytest.mark.parametrize("key", ["", "a b", "é", "a\r\nb", "k" * 256])
def test_a_key_that_no_header_can_hold_is_refused_before_anything_is_sent(service: Any, photo: Path, key: str) -> None:
    for call in (service.client().edit, service.client().edit_stream, service.client().remove):
        with pytest.raises(ValueError, match="idempotency_key must be 1 to 255 visible ASCII characters"):
            call(photo, idempotency_key=key)
    assert service.seen == []


def test_every_option_is_an_option_of_edit() -> None:
    assert set(EVERY_OPTION) | {"self", "image", "prompt"} == set(inspect.signature(Retouch.edit).parameters)


def test_remove_is_an_edit_without_a_prompt(service: Any, photo: Path) -> None:
    service.client().remove(photo, "the apple")
    (seen,) = service.seen
    assert seen.path == "/v1/images/edits"
    assert seen.texts == {"mode": "remove", "target": "the apple", "response_format": "b64_json"}


def test_locate_and_score_send_their_text(service: Any, photo: Path) -> None:
    client = service.client()
    client.locate(photo, "the apple", avoid="the pear")
    client.locate(photo, points=((20, 10),), labels=[True], box=[1, 2, 3, 4])
    client.score(photo, "a lemon")
    assert [(seen.path, seen.texts) for seen in service.seen] == [
        ("/v1/locate", {"target": "the apple", "avoid": "the pear"}),
        ("/v1/locate", {"points": "20,10", "labels": "1", "box": "1,2,3,4"}),
        ("/v1/score", {"text": "a lemon"}),
    ]


def test_arrays_are_points_too(service: Any, photo: Path) -> None:
    np = pytest.importorskip("numpy")
    points, labels, box = np.array([[20, 10], [30, 9]]), np.array([1, 0]), np.array([1, 2, 3, 4])
    service.client().locate(photo, points=points, labels=labels, box=box)
    assert service.seen[0].texts == {"points": "20,10; 30,9", "labels": "1,0", "box": "1,2,3,4"}


def test_no_points_are_as_if_unset(service: Any, photo: Path) -> None:
    service.client().locate(photo, "the apple", points=[], labels=[])
    assert service.seen[0].texts == {"target": "the apple"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": (20, 10)}, r"points must be pairs \(x, y\), in whole numbers"),
        ({"points": [(20.5, 10)]}, "points must be pairs"),
        ({"points": ["20,10"]}, "points must be pairs"),
        ({"labels": ["yes"]}, "labels must be 1 or 0 for each point"),
        ({"box": (1, 2, 3, None)}, r"box must be \(left, top, right, bottom\), in whole numbers"),
        ({"box": 4}, "box must be"),
    ],
)
def test_what_is_no_place_is_refused_before_anything_is_sent(
    service: Any, photo: Path, options: dict[str, Any], message: str
) -> None:
    for call in (service.client().edit, service.client().remove, service.client().locate):
        with pytest.raises(TypeError, match=message):
            call(photo, **options)
    assert service.seen == []


@pytest.mark.parametrize("mode", ["1", "L", "RGBA"])
def test_a_mask_travels_like_a_picture(service: Any, photo: Path, mode: str) -> None:
    mask = Image.new(mode, (48, 32))
    service.client().remove(photo, mask=mask)
    part = service.seen[0].form["mask"]
    assert (part.file_name, part.media_type) == ("image.png", "image/png")
    sent = Image.open(io.BytesIO(part.content))
    assert (sent.mode, sent.tobytes()) == (mode, mask.tobytes())
    path = photo.with_name("mask.png")
    mask.save(path)
    service.client().edit(photo, "a lemon", mask=path)
    assert service.seen[1].form["mask"].content == path.read_bytes()
    assert service.seen[1].form["image"].content == photo.read_bytes()


def test_the_file_is_sent_byte_for_byte_and_nameless(service: Any, photo: Path) -> None:
    content = photo.read_bytes()
    client = service.client()
    for image in (photo, str(photo), content, bytearray(content), memoryview(content), io.BytesIO(content)):
        client.score(image, "a lemon")
    with photo.open("rb") as file:
        client.score(file, "a lemon")
        assert not file.closed
    parts = [seen.form["image"] for seen in service.seen]
    assert len(parts) == 7
    wanted = (content, "image.jpeg", "image/jpeg")
    assert {(part.content, part.file_name, part.media_type) for part in parts} == {wanted}


@pytest.mark.parametrize(
    ("form", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("GIF", None)]
)
def test_the_type_is_read_from_the_bytes(form: str, media_type: str | None) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, format=form)
    picture = read_picture(file.getvalue())
    assert picture.media_type == (media_type or "application/octet-stream")
    assert picture.file_name == (f"image.{form.lower()}" if media_type else "image")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "F", "I;16"])
def test_pillow_images_travel_as_png(service: Any, mode: str) -> None:
    image = Image.new(mode, (6, 4))
    service.client().score(image, "a lemon")
    part = service.seen[0].form["image"]
    assert (part.media_type, part.file_name) == ("image/png", "image.png")
    sent = Image.open(io.BytesIO(part.content))
    assert sent.size == (6, 4)
    if mode in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}:
        assert sent.mode == mode
        assert sent.tobytes() == image.tobytes()


def test_pillow_images_keep_alpha_and_profile_and_lose_the_orientation_that_was_not_applied(service: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (6, 4), "red").save(file, format="JPEG", exif=exif, icc_profile=b"a profile")
    with Image.open(file) as image:
        service.client().score(image, "a lemon")
    sent = Image.open(io.BytesIO(service.seen[0].form["image"].content))
    assert sent.size == (6, 4)
    assert sent.getexif().get(0x0112) is None
    assert sent.info["icc_profile"] == b"a profile"


def test_what_is_no_picture_is_refused_before_anything_is_sent(service: Any, tmp_path: Path) -> None:
    client = service.client()
    with pytest.raises(TypeError, match="not int"):
        client.score(7, "a lemon")
    with pytest.raises(TypeError, match="mode 'rb'"):
        client.score(io.StringIO("text"), "a lemon")
    with pytest.raises(FileNotFoundError):
        client.score(tmp_path / "nothing.png", "a lemon")
    assert service.seen == []


def test_headers(service: Any, photo: Path) -> None:
    service.client(api_key="sk-secret\n").score(photo, "a lemon")
    service.client().score(photo, "a lemon")
    with_key, without_key = (seen.headers for seen in service.seen)
    assert with_key["authorization"] == "Bearer sk-secret"
    assert with_key["accept"] == "application/json"
    assert with_key["user-agent"] == f"retouch-client/{__version__}"
    assert "authorization" not in without_key


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("http://somewhere:1", "/readyz"),
        ("http://somewhere:1/", "/readyz"),
        ("http://somewhere:1/v1", "/readyz"),
        ("http://somewhere:1/v1/", "/readyz"),
        ("https://somewhere/retouch/v1", "/retouch/readyz"),
    ],
)
def test_base_urls(service: Any, base_url: str, path: str) -> None:
    client = service.client(base_url=base_url)
    service.instead = [httpx.Response(200)]
    assert client.ready()
    assert service.seen[0].path == path
    assert client.base_url == base_url.rstrip("/").removesuffix("/v1")


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "localhost:8000",
        "ftp://here",
        "http://",
        "http://me:secret@here",
        "http://here?key=secret",
        "http://here#secret",
    ],
)
def test_unusable_base_urls_are_refused_without_being_quoted(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        Retouch(base_url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("api_key", ["sk-secret\r\nx: y", "sk secret", "sk-secré"])
def test_unusable_keys_are_refused_without_being_quoted(api_key: str) -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        Retouch(api_key=api_key)
    assert "secr" not in str(caught.value)


@pytest.mark.parametrize("options", [{"timeout_s": 0}, {"timeout_s": float("nan")}, {"max_retries": -1}])
def test_impossible_limits_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Retouch(**options)


def test_timeouts_reach_the_transport(service: Any, photo: Path) -> None:
    client = service.client(timeout_s=30)
    client.score(photo, "a lemon")
    client.ready()
    service.client(timeout_s=2).score(photo, "a lemon")
    assert [(seen.timeout["connect"], seen.timeout["read"]) for seen in service.seen] == [(5, 30), (5, 10), (2, 2)]


def test_a_closed_client_sends_nothing(service: Any) -> None:
    with service.client() as client:
        assert client.ready()
    with pytest.raises(RuntimeError, match="closed"):
        client.ready()
