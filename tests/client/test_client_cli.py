"""The command `retouch`: exit statuses, files, and what is printed where."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import retouch
from PIL import Image
from retouch.cli.main import main

Capture = pytest.CaptureFixture[str]


def test_edit_saves_and_sums_up(service: Any, photo: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    before = photo.read_bytes()
    assert service.run("edit", "photo.jpg", "a lemon", "--target", "the apple", "--mask-out", "m.png") == 0
    out, err = capsys.readouterr()
    *lines, took = out.splitlines()
    assert lines == [
        "✔ photo.edited.png",
        "  found   the apple at (20, 10), confidence 0.83, one of 3 candidates",
        "  match   0.200 → 0.290 (+0.090)",
        "  region  0.180 → 0.310 (+0.130)",
        "  seed    1234",
        "  mask    m.png",
    ]
    assert took.startswith("  took    0.")
    assert took.endswith(" s (locate 0.25, segment 0.50, score 0.12, inpaint 2.00, total 2.88)")
    assert err == 'Painting "a lemon" over "the apple" ...\n'
    assert photo.read_bytes() == before
    with Image.open("photo.edited.png") as edited, Image.open("m.png") as mask:
        assert (edited.size, edited.getpixel((0, 0)), mask.mode) == ((48, 32), (200, 190, 10), "L")


def test_what_reading_the_file_converted_is_told(service: Any, photo: Path, capsys: Capture) -> None:
    service.changes = {"converted": ["profile", "alpha"]}
    assert service.run("edit", photo, "a lemon") == 0
    assert "\n  converted  profile, alpha\n" in capsys.readouterr().out
    assert service.run("edit", photo, "a lemon", "--json") == 0
    assert json.loads(capsys.readouterr().out)["converted"] == ["profile", "alpha"]


def test_edit_passes_every_option_on(service: Any, photo: Path) -> None:
    words = ["--target", "apple", "--negative", "blur", "--n", 2, "--seed", 5]
    words += ["--steps", 9, "--guidance", 2.5, "--strength", 0.4, "--scheduler", "euler", "--timeout", 3]
    assert service.run("edit", photo, "a lemon", *words) == 0
    (seen,) = service.seen
    assert seen.texts == {
        "prompt": "a lemon",
        "target": "apple",
        "negative_prompt": "blur",
        "n": "2",
        "seed": "5",
        "num_inference_steps": "9",
        "guidance_scale": "2.5",
        "strength": "0.4",
        "scheduler": "euler",
        "response_format": "b64_json",
        "stream": "true",
        "progress": "true",
    }
    assert seen.timeout["read"] == 3


def test_several_pictures_are_numbered(service: Any, photo: Path, capsys: Capture) -> None:
    out = photo.with_name("new.png")
    assert service.run("edit", photo, "a lemon", "--n", 3, "-o", out) == 0
    assert sorted(path.name for path in photo.parent.iterdir()) == ["new-2.png", "new-3.png", "new.png", "photo.jpg"]
    assert f"also    {photo.with_name('new-3.png')}, match 0.200 → 0.270 (+0.070), seed 1236" in capsys.readouterr().out


def test_unfinished_pictures_are_saved_beside_the_picture(
    service: Any, photo: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    Path("new").mkdir()
    assert service.run("edit", "photo.jpg", "a lemon", "--partial-images", 2, "-o", "new/best.png") == 0
    assert "\n  partial  new/partial-1.png to partial-2.png\n" in capsys.readouterr().out
    with Image.open("new/partial-1.png") as first, Image.open("new/partial-2.png") as second:
        assert [(each.size, each.getpixel((0, 0))) for each in (first, second)] == [
            ((48, 32), (50, 0, 0)),
            ((48, 32), (51, 0, 0)),
        ]
    assert service.run("edit", "photo.jpg", "a lemon", "--partial-images", 1, "--json") == 0
    assert json.loads(capsys.readouterr().out)["partials"] == ["partial-1.png"]
    assert service.run("edit", "photo.jpg", "a lemon") == 0
    assert "partial" not in capsys.readouterr().out


def test_no_more_unfinished_pictures_are_saved_than_were_asked_for(
    service: Any, photo: Path, good_edit: dict[str, Any], stream_of: Callable[..., list[str]]
) -> None:
    service.events = stream_of(good_edit, 3)
    assert service.run("edit", photo, "a lemon", "--partial-images", 1) == 0
    assert sorted(path.name for path in photo.parent.iterdir()) == ["partial-1.png", "photo.edited.png", "photo.jpg"]


def test_an_unfinished_picture_is_there_before_the_edit_ends(
    service: Any, photo: Path, good_edit: dict[str, Any], stream_of: Callable[..., list[str]], capsys: Capture
) -> None:
    service.events = [*stream_of(good_edit, 1)[:5], httpx.ReadError("reset")]
    assert service.run("edit", photo, "a lemon", "--partial-images", 1) == 1
    assert "broke: reset." in capsys.readouterr().err
    assert sorted(path.name for path in photo.parent.iterdir()) == ["partial-1.png", "photo.jpg"]


def test_edit_as_json(service: Any, photo: Path, capsys: Capture) -> None:
    assert service.run("edit", photo, "a lemon", "--n", 2, "--json") == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert err == ""
    assert answer.pop("seconds") >= 0
    first = answer["edits"][0]
    assert first["path"] == str(photo.with_name("photo.edited.png"))
    assert (first["seed"], first["score"]["after"], first["score"]["delta"]) == (1234, 0.29, pytest.approx(0.09))
    assert first["seam"] == 1.5
    assert set(answer) == {
        "edits",
        "partials",
        "mask",
        "strip",
        "mask_read",
        "markup_read",
        "mode",
        "method",
        "fill_method",
        "target",
        "phrase",
        "point",
        "confidence",
        "margin",
        "low_confidence",
        "candidates",
        "chosen",
        "instances",
        "num_inference_steps",
        "guidance_scale",
        "changed_outside_px",
        "converted",
        "improved",
        "filtered_seeds",
        "timings",
        "usage",
        "safety_identifier",
        "request_id",
    }
    assert (len(answer["edits"]), answer["mask"], answer["point"]) == (2, None, [20, 10])
    assert answer["usage"]["output_tokens"] == 40


def test_quiet_prints_the_bare_result(service: Any, photo: Path, capsys: Capture) -> None:
    assert service.run("edit", photo, "a lemon", "--n", 2, "--quiet") == 0
    assert service.run("locate", photo, "the apple", "--quiet") == 0
    assert service.run("score", photo, "a lemon", "--quiet") == 0
    edited = photo.with_name("photo.edited.png")
    assert capsys.readouterr() == (f"{edited}\n{edited.with_stem('photo.edited-2')}\n20 10\n0.270000\n", "")


def test_score(service: Any, photo: Path, capsys: Capture) -> None:
    assert service.run("score", photo, "a lemon") == 0
    assert capsys.readouterr().out == "✔ 0.270\n  text  a lemon\n"
    assert service.run("score", photo, "a lemon", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"text": "a lemon", "score": 0.27}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["edit"], "the following arguments are required: image, prompt"),
        (["edit", "{photo}", " "], "argument prompt: the text is empty"),
        (["edit", "{photo}", "\udcff"], "argument prompt: the text is not UTF-8"),
        (["edit", "{photo}", "a lemon", "--target", ""], "argument --target: the text is empty"),
        (["edit", "{photo}", "a lemon", "--n", "0"], "argument --n: '0' is not a whole number of 1 or more"),
        (["edit", "{photo}", "a lemon", "--steps", "many"], "argument --steps: 'many' is not a whole number"),
        (["edit", "{photo}", "a lemon", "--seed", "x"], "argument --seed: 'x' is not a whole number of 0 or more"),
        (
            ["edit", "{photo}", "a lemon", "--timeout", "0"],
            "argument --timeout: '0' is not a number of seconds above 0",
        ),
        (["edit", "{photo}", "a lemon", "--see", "3"], "unrecognized arguments: --see 3"),
        (["edit", "{photo}", "a lemon", "--partial-images", "4"], "'4' is not a whole number of 0 to 3"),
        (["edit", "{photo}", "a lemon", "--idempotency-key", "a b"], "'a b' is not 1 to 255 visible ASCII characters"),
        (["edit", "{photo}", "a lemon", "--json", "--quiet"], "not allowed with argument --json"),
        (["edit", "{folder}/none.jpg", "a lemon"], "there is no file {folder}/none.jpg"),
        (["edit", "{folder}", "a lemon"], "{folder} is a folder, not a picture"),
        (["locate", "{folder}", "a lemon"], "{folder} is a folder, not a picture"),
        (["score", "{folder}/none.jpg", "a lemon"], "there is no file {folder}/none.jpg"),
        (["edit", "{photo}", "a lemon", "-o", "{photo}"], "{photo} is the picture itself, which is never overwritten"),
        (["locate", "{photo}", "a lemon", "--heat", "{photo}"], "{photo} is the picture itself"),
        (["edit", "{photo}", "a lemon", "--url", "nowhere"], "--url must look like http://host:port"),
        (["edit", "{photo}", "a lemon", "--api-key", "a b"], "--api-key may hold only printable ASCII"),
    ],
)
def test_wrong_use_is_status_2_and_one_line(
    service: Any, photo: Path, capsys: Capture, words: list[str], reason: str
) -> None:
    places = {"photo": photo, "folder": photo.parent}
    assert service.run(*[word.format(**places) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("retouch")
    assert reason.format(**places) in err
    assert err.count("\n") == 1
    assert service.seen == []
    assert [path.name for path in photo.parent.iterdir()] == ["photo.jpg"]


def test_target_not_found_says_what_to_try(
    service: Any, service_error: Callable[..., httpx.Response], photo: Path, capsys: Capture
) -> None:
    service.instead = [service_error(422, "Found nothing that matches 'the pear'.", "target_not_found", "target")]
    assert service.run("edit", photo, "a lemon", "--target", "the pear") == 1
    assert capsys.readouterr() == (
        "",
        'Painting "a lemon" over "the pear" ...\n'
        "retouch: Found nothing that matches 'the pear'.\n"
        "  Name it in other words with --target, or see where the service looks:\n"
        f"  retouch locate {photo} 'the pear' --heat heat.png\n"
        "  (422 target_not_found, request req-9)\n",
    )
    assert [path.name for path in photo.parent.iterdir()] == ["photo.jpg"]


def test_without_a_target_the_prompt_is_looked_for(
    service: Any, service_error: Callable[..., httpx.Response], photo: Path, capsys: Capture
) -> None:
    service.instead = [service_error(422, code="target_not_found")]
    assert service.run("edit", photo, "lemon", "--quiet") == 1
    assert f"retouch locate {photo} lemon --heat heat.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (401, "invalid_api_key", "Give a key with RETOUCH_API_KEY."),
        (403, "not_allowed", "Give a key with RETOUCH_API_KEY."),
        (404, "not_found", "Is http://127.0.0.1:8000 a Retouch service?"),
        (429, "overloaded", "try again in a moment"),
        (400, "invalid_value", ""),
        (500, "model_failed", ""),
    ],
)
def test_service_errors_are_status_1(
    service: Any,
    service_error: Callable[..., httpx.Response],
    photo: Path,
    capsys: Capture,
    status: int,
    code: str,
    hint: str,
) -> None:
    service.instead = [service_error(status, "It says why.", code) for _ in range(3)]
    assert service.run("score", photo, "a lemon", "--quiet") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("retouch: It says why.\n")
    assert hint in err
    assert err.endswith(f"  ({status} {code}, request req-9)\n")
    assert len(err.splitlines()) == (3 if hint else 2)


def test_errors_as_json(
    service: Any, service_error: Callable[..., httpx.Response], photo: Path, capsys: Capture
) -> None:
    service.instead = [service_error(422, "It says why.", "target_not_found", "target")]
    assert service.run("edit", photo, "a lemon", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {
        "error": {
            "type": "TargetNotFound",
            "message": "It says why.",
            "status_code": 422,
            "code": "target_not_found",
            "param": "target",
            "request_id": "req-9",
            "location": None,
        }
    }


@pytest.mark.parametrize("cause", [httpx.ReadError("reset"), httpx.RemoteProtocolError("incomplete chunked read")])
def test_a_connection_that_breaks_is_no_service_to_start(
    service: Any, photo: Path, capsys: Capture, cause: httpx.RequestError
) -> None:
    service.instead = [cause] * 3
    assert service.run("score", photo, "a lemon") == 1
    assert capsys.readouterr().err.splitlines()[-1] == "  See whether the service is still running, and try again."


def test_a_stream_that_breaks_in_the_middle_is_no_service_to_start(
    service: Any, photo: Path, capsys: Capture, good_edit: dict[str, Any], stream_of: Callable[..., list[str]]
) -> None:
    service.events = stream_of(good_edit)[:-1]
    assert service.run("edit", photo, "a lemon") == 1
    *_, reason, hint = capsys.readouterr().err.splitlines()
    assert reason.endswith("broke: the stream ended before the edit did.")
    assert hint == "  See whether the service is still running, and try again."


def test_a_service_that_is_away(service: Any, photo: Path, capsys: Capture) -> None:
    service.instead = [httpx.ConnectError("[Errno 111] Connection refused") for _ in range(3)]
    assert service.run("score", photo, "a lemon", "--url", "http://there:9") == 1
    *progress, reason, hint = capsys.readouterr().err.splitlines()
    assert reason == "retouch: Could not connect to http://there:9: [Errno 111] Connection refused."
    assert hint == "  Start the service with `make serve`, or say where it is with --url or RETOUCH_URL."
    assert progress[0] == 'Comparing with "a lemon" ...'
    assert progress[1].startswith("No luck, trying again in 0.")
    assert progress[2] == 'Comparing with "a lemon", try 2 ...'
    assert len(service.sleeps) == 2


def test_a_service_that_is_slow(service: Any, photo: Path, capsys: Capture) -> None:
    service.instead = [httpx.ReadTimeout("") for _ in range(3)]
    assert service.run("score", photo, "a lemon", "--quiet") == 1
    assert capsys.readouterr().err == (
        "retouch: http://127.0.0.1:8000 did not answer in time.\n"
        "  It may be busy: try again, or allow more seconds with --timeout.\n"
    )


def test_another_service(service: Any, photo: Path, capsys: Capture) -> None:
    service.instead = [httpx.Response(200, text="<h1>Hello</h1>")]
    assert service.run("score", photo, "a lemon", "--json") == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "InvalidResponse"
    assert "  Is http://127.0.0.1:8000 a Retouch service?" in err


def test_ctrl_c_is_status_130(service: Any, photo: Path, capsys: Capture) -> None:
    service.instead = [KeyboardInterrupt()]
    assert service.run("edit", photo, "a lemon", "--quiet") == 130
    assert capsys.readouterr() == ("", "retouch: stopped, and the connection to the service is closed\n")
    assert [path.name for path in photo.parent.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("command", [["edit", "a lemon"], ["remove", "--target", "the apple"]])
def test_ctrl_c_while_it_paints_closes_the_connection(
    service: Any,
    photo: Path,
    capsys: Capture,
    good_edit: dict[str, Any],
    stream_of: Callable[..., list[str]],
    command: list[str],
) -> None:
    service.events = [*stream_of(good_edit)[:3], KeyboardInterrupt()]
    name, *words = command
    assert service.run(name, photo, *words, "--quiet") == 130
    assert service.connections[0].is_closed
    assert capsys.readouterr() == ("", "retouch: stopped, and the connection to the service is closed\n")


def test_an_error_while_it_paints_is_status_1(
    service: Any, photo: Path, capsys: Capture, stream_event: Callable[..., str]
) -> None:
    stated = {"message": "It took too long.", "type": "server_error", "param": None, "code": "deadline_exceeded"}
    service.events = [stream_event("error", error=stated)]
    assert service.run("edit", photo, "a lemon", "--quiet") == 1
    assert capsys.readouterr().err == "retouch: It took too long.\n  (504 deadline_exceeded, request req-1)\n"
    assert [path.name for path in photo.parent.iterdir()] == ["photo.jpg"]


def test_a_file_that_cannot_be_written_is_status_1(service: Any, photo: Path, capsys: Capture) -> None:
    out = photo.with_name("x" * 300 + ".png")
    assert service.run("edit", photo, "a lemon", "-o", out, "--quiet") == 1
    assert capsys.readouterr().err == f"retouch: {out} cannot be read or written: File name too long\n"


def test_a_disk_that_is_full_is_said_with_the_file(
    service: Any, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert service.run("edit", photo, "a lemon", "--quiet") == 1
    said = f"retouch: {photo.with_name('photo.edited.png')} cannot be read or written: No space left on device\n"
    assert capsys.readouterr().err == said


def test_a_picture_whose_name_cannot_be_is_said_with_the_file(service: Any, photo: Path, capsys: Capture) -> None:
    picture = photo.with_name("x" * 300 + ".png")
    assert service.run("edit", picture, "a lemon", "--quiet") == 1
    assert capsys.readouterr().err == f"retouch: {picture} cannot be read or written: File name too long\n"
    assert service.seen == []


def test_the_environment_says_where_and_who(service: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCH_URL", "http://there:9/v1")
    monkeypatch.setenv("RETOUCH_API_KEY", "sk-environment")
    service.run("score", photo, "a lemon")
    service.run("score", photo, "a lemon", "--url", "http://other:8", "--api-key", "sk-words")
    assert [seen.headers["host"] for seen in service.seen] == ["there:9", "other:8"]
    assert [seen.headers["authorization"] for seen in service.seen] == ["Bearer sk-environment", "Bearer sk-words"]


@pytest.mark.parametrize("command", ["edit", "remove", "locate", "score"])
def test_help_explains_and_keeps_the_key(command: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("RETOUCH_API_KEY", "sk-environment")
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--url" in out
    assert "RETOUCH_API_KEY" in out
    assert "sk-environment" not in out


def test_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"retouch {retouch.__version__}\n"
