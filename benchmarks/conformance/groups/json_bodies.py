"""The JSON body of the HTTP API, with pictures as data: URLs."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import httpx

from benchmarks.conformance import pictures
from benchmarks.conformance.answers import edited_json, refused
from benchmarks.conformance.rows import Group, NotAsked, check
from benchmarks.conformance.server import EDITS, Server

ROWS = Group("json_bodies", "JSON bodies")
JSON = {"content-type": "application/json"}


@ROWS.row
def data_url(server: Server) -> None:
    """A picture and a mask are read from data: URLs"""
    body = edited_json(server.post_json())
    inside, outside = pictures.change(pictures.opened(body["data"][0]["b64_json"]))
    check(outside < inside / 2, f"levels change by {inside:.1f} inside the mask and by {outside:.1f} outside")


@ROWS.row
def scalars(server: Server) -> None:
    """Numbers and null are JSON's own: `n` is 2, `user` null"""
    answer = server.http.post(EDITS, json=server.body() | {"n": 2, "user": None})
    check(len(edited_json(answer)["data"]) == 2, "there are not two pictures")


@ROWS.row
def private_address(server: Server) -> None:
    """An http: URL of the server's own machine is refused and never fetched"""
    if not _is_loopback(httpx.URL(server.base_url).host):
        raise NotAsked("the server runs elsewhere, where this machine could not see what it fetches from itself")
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/picture.png"
        refused(server.post_json(images=[{"image_url": url}]), "images")
        try:
            trap.accept()[0].close()
        except TimeoutError:
            return
    check(False, "it was fetched, so callers can reach into the server's network")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@ROWS.each({url: url for url in ("file:///etc/hostname", "data:image/png;base64,%%%", "data:text/plain,lemon")})
def bad_url(server: Server, url: str) -> None:
    """The URL {} is refused with 400, naming the picture"""
    refused(server.post_json(images=[{"image_url": url}]), "images", (400, 415))


@ROWS.row
def unknown_file_id(server: Server) -> None:
    """A file that does not exist is refused, naming the picture"""
    refused(server.post_json(images=[{"file_id": "file-of-nobody"}]), "images", (400, 404))


@ROWS.row
def no_images(server: Server) -> None:
    """A body without pictures is refused with 400, naming `images`"""
    nothing: tuple[Any, ...] = (None, [])
    for images in nothing:
        refused(server.post_json(images=images), "images")


@ROWS.row
def unknown_key(server: Server) -> None:
    """An unknown key is refused with 400, naming it"""
    refused(server.post_json(colour_of_frame="red"), "colour_of_frame")


WRONG_TYPES: dict[str, tuple[str, Any]] = {
    "n, a text": ("n", "two"),
    "n, a fraction": ("n", 1.5),
    "prompt, a list": ("prompt", ["a lemon"]),
    "quality, an object": ("quality", {"level": "low"}),
    "size, an object": ("size", {}),
    "model, a list": ("model", ["gpt-image-2"]),
    "mask, a text": ("mask", "mask.png"),
    "images, an object": ("images", {"image_url": "data:,"}),
}


@ROWS.each(WRONG_TYPES)
def wrong_type(server: Server, case: tuple[str, Any]) -> None:
    """A value of a wrong type is refused with 400 by its name: {}"""
    name, value = case
    refused(server.post_json(**{name: value}), name)


BROKEN = {
    "cut off": b'{"prompt": "a lem',
    "a list": b"[]",
    "a number": b"7",
    "empty": b"",
    "nested a hundred thousand times": b'{"prompt":' + b"[" * 100_000,
    "no UTF-8": b'{"prompt": "\xff\xfe"}',
}


@ROWS.each(BROKEN)
def broken(server: Server, body: bytes) -> None:
    """A body that is no JSON object is refused with 400: {}"""
    refused(server.http.post(EDITS, content=body, headers=JSON))
