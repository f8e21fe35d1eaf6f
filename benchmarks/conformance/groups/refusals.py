"""Refusals through the SDK: the class of its error, and an error that names the field and has a code."""

from __future__ import annotations

from typing import Any

import openai

from benchmarks.conformance import pictures
from benchmarks.conformance.answers import check_error, edited, refused_sdk
from benchmarks.conformance.rows import Fails, Group, NotAsked, check
from benchmarks.conformance.server import Server

ROWS = Group("refusals", "Refusals, by status, `param` and `code`")
TOO_MANY_BYTES = 52_000_000  # OpenAI takes 50 MB
TOO_MANY_CHARACTERS = 40_000  # OpenAI takes 32,000
MOST_PICTURES = 16

WRONG_VALUES: dict[str, tuple[str, Any]] = {
    f"{name}={value}": (name, value)
    for name, value in (
        ("n", 0),
        ("n", 11),
        ("n", "two"),
        ("size", "huge"),
        ("size", "0x0"),
        ("quality", "best"),
        ("output_format", "bmp"),
        ("background", "pink"),
        ("response_format", "file"),
        ("stream", "maybe"),
    )
}


@ROWS.each(WRONG_VALUES)
def wrong_value(server: Server, case: tuple[str, Any]) -> None:
    """400 for {}, naming the parameter"""
    name, value = case
    error = refused_sdk(lambda: server.edit(extra_body={name: value}), name)
    check(isinstance(error, openai.BadRequestError), f"the SDK raises {type(error).__name__}")
    check(error.type == "invalid_request_error", f"the type of the error is {error.type!r}")


@ROWS.row
def wrong_compression(server: Server) -> None:
    """400 for output_compression=101, naming it"""
    refused_sdk(lambda: server.edit(output_format="jpeg", output_compression=101), "output_compression")


@ROWS.row
def unknown_parameter(server: Server) -> None:
    """400 for a parameter that does not exist, naming it"""
    refused_sdk(lambda: server.edit(extra_body={"colour_of_frame": "red"}), "colour_of_frame")


@ROWS.row
def blank_prompt(server: Server) -> None:
    """400 for a blank prompt"""
    refused_sdk(lambda: server.edit(prompt=" "), "prompt")


@ROWS.row
def long_prompt(server: Server) -> None:
    """400 for a prompt of 40,000 characters"""
    refused_sdk(lambda: server.edit(prompt="lemon " * (TOO_MANY_CHARACTERS // 6)), "prompt")


@ROWS.row
def no_picture(server: Server) -> None:
    """400 or 415 for a text in the place of the picture"""
    refused_sdk(lambda: server.edit(image=("picture.png", pictures.NO_PICTURE, "image/png")), "image", (400, 415))


@ROWS.row
def broken_picture(server: Server) -> None:
    """400 for a picture that is cut off"""
    refused_sdk(lambda: server.edit(image=("picture.png", pictures.cut_off(), "image/png")), "image")


@ROWS.row
def too_many_pictures(server: Server) -> None:
    """400 for seventeen pictures"""
    one = ("photo.png", pictures.picture(), "image/png")
    refused_sdk(lambda: server.edit(mask=None, image=[one] * (MOST_PICTURES + 1)), "image")


@ROWS.row
def too_large(server: Server) -> None:
    """413 for a file of 52 MB"""
    large = pictures.picture() + bytes(TOO_MANY_BYTES)
    refused_sdk(lambda: server.edit(image=("picture.png", large, "image/png")), statuses=(413,))


@ROWS.row
def unknown_model(server: Server) -> None:
    """404 with the code model_not_found for a model that does not exist"""
    for ask in (lambda: server.edit(model="no-such-model"), lambda: server.sdk.models.retrieve("no-such-model")):
        error = refused_sdk(ask, "model", (404,))
        check(error.code == "model_not_found", f"the code is {error.code!r}")


@ROWS.row
def wrong_key(server: Server) -> None:
    """401 for a wrong key"""
    with server.stranger() as stranger:
        try:
            stranger.images.edit(**server.fields())
        except openai.AuthenticationError as error:
            check_error(error.response.json())
            return
        except openai.APIStatusError as error:
            raise Fails(f"status {error.status_code} instead of 401: {error.message}") from error
    raise NotAsked("the server takes any key")


@ROWS.row
def lives_on(server: Server) -> None:
    """After all of these an edit is served as before"""
    edited(server.edit())
