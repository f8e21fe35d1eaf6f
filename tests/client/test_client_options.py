"""An option is declared once: the signatures, the help, the checks and the command line follow from that."""

from __future__ import annotations

import asyncio
import inspect
import pydoc
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import retouch
from PIL import Image
from retouch.cli.main import main
from retouch.options import EditOptions, PaintingOptions, RemovalOptions, SearchOptions, StreamOptions, options_of

CALLS = {"edit": EditOptions, "edit_stream": StreamOptions, "remove": RemovalOptions, "locate": SearchOptions}
COMMANDS = {"edit": StreamOptions, "remove": RemovalOptions, "locate": SearchOptions}
CLIENTS = [retouch.Retouch, retouch.AsyncRetouch]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("call", CALLS)
def test_the_signature_names_every_option_and_help_shows_it(kind: type, call: str) -> None:
    method = getattr(kind, call)
    options = options_of(CALLS[call])
    keywords = [item for item in inspect.signature(method).parameters.values() if item.kind == item.KEYWORD_ONLY]
    assert [item.name for item in keywords] == list(options)
    assert {item.default for item in keywords} == {None}
    assert "VAR_KEYWORD" not in {item.kind.name for item in inspect.signature(method).parameters.values()}
    shown = " ".join(pydoc.plaintext.document(method).split())
    for name, (_, about) in options.items():
        (head,) = re.findall(rf" {name}: .{{3,90}}? (?={re.escape(' '.join(about.sentence.split()))})", shown)
        assert about.limits in head


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("dilation", "dilation: float, 0 to 1, a share of its longest side\n"),
        ("n", "n: int, 1 or more\n"),
        ("points", "points: Sequence[Point], pixels of the upright picture\n"),
        ("mask", "mask: ImageInput\n"),
        ("fill", "fill: Literal['noise', 'original', 'blur']\n"),
        ("all", "all: bool\n"),
    ],
)
def test_help_shows_type_range_and_unit(name: str, head: str) -> None:
    assert f"\n{head}    {options_of(EditOptions)[name][1].sentence[:40]}" in (retouch.Retouch.edit.__doc__ or "")


def test_every_option_has_a_sentence_that_ends() -> None:
    for name, (_, about) in options_of(EditOptions).items():
        assert about.sentence.endswith("."), name


def test_the_annotations_can_be_read_at_run_time() -> None:
    for kind in CLIENTS:
        for call, options in CALLS.items():
            assert options.__name__ in str(get_type_hints(getattr(kind, call))["options"])


def test_what_is_not_an_option_is_refused_before_anything_is_sent(service: Any, photo: Path) -> None:
    client = service.client()
    wrong: list[tuple[Any, str, Any]] = [
        (client.edit, "tagret", "x"),
        (client.edit_stream, "tagret", "x"),
        (client.edit, "partial_images", 2),
        (client.remove, "min_score", 0.2),
        (client.locate, "mask", photo),
    ]
    for call, name, value in wrong:
        with pytest.raises(TypeError, match=rf"^{call.__name__}\(\) got an unexpected keyword argument '{name}'$"):
            call(photo, **{name: value})

    async def awaited() -> None:
        await service.async_client().remove(photo, min_score=0.2)

    with pytest.raises(TypeError, match="'min_score'"):
        asyncio.run(awaited())
    with pytest.raises(TypeError, match=r"^edit_stream\(\) got an unexpected keyword argument 'tagret'$"):
        service.async_client().edit_stream(photo, tagret="x")
    assert service.seen == []


def test_an_option_that_is_none_is_not_sent(service: Any, photo: Path) -> None:
    service.client().edit(photo, "a lemon", **dict.fromkeys(options_of(EditOptions)))
    assert service.seen[0].texts == {"prompt": "a lemon", "response_format": "b64_json"}
    assert set(service.seen[0].form) == {"prompt", "response_format", "image"}


WORDS: dict[str, tuple[list[str], str | None]] = {
    "target": (["--target", "the apple"], "the apple"),
    "avoid": (["--avoid", "the pear"], "the pear"),
    "all": (["--no-all"], "false"),
    "points": (["--point", "20,10", "--not-point", "3,4"], "20,10; 3,4"),
    "labels": (["--not-point", "3,4", "--point", "20,10"], "1,0"),
    "box": (["--box", "1,2,30,20"], "1,2,30,20"),
    "mask": (["--mask", "mask.png"], None),
    "mask_mode": (["--mask-mode", "alpha"], "alpha"),
    "markup": (["--markup", "mask.png"], None),
    "candidate": (["--candidate", "1"], "1"),
    "mask_shape": (["--mask-shape", "hull"], "hull"),
    "dilation": (["--dilation", "0.5"], "0.5"),
    "negative_prompt": (["--negative", ""], ""),
    "n": (["--n", "2"], "2"),
    "seed": (["--seed", "0"], "0"),
    "num_inference_steps": (["--steps", "9"], "9"),
    "quality": (["--quality", "xhigh"], "xhigh"),
    "guidance_scale": (["--guidance", "2.5"], "2.5"),
    "strength": (["--strength", "0.4"], "0.4"),
    "fill": (["--fill", "blur"], "blur"),
    "fill_method": (["--fill-method", "painter"], "painter"),
    "scheduler": (["--scheduler", "euler"], "euler"),
    "min_score": (["--min-score", "-0.25"], "-0.25"),
    "safety_identifier": (["--safety-identifier", "user 7"], "user 7"),
    "idempotency_key": (["--idempotency-key", "edit-7"], "edit-7"),
    "partial_images": (["--partial-images", "2"], "2"),
}
"""How the command line writes each option, and what the service gets."""


@pytest.mark.parametrize(
    ("command", "name"),
    [(command, name) for command in COMMANDS for name in options_of(COMMANDS[command]) if name != "mode"],
)
def test_the_command_line_has_every_option(
    service: Any, photo: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    monkeypatch.chdir(photo.parent)
    Image.new("L", (48, 32)).save("mask.png")
    words, wanted = WORDS[name]
    text = {"edit": ["a lemon"], "remove": ["--target", "the apple"], "locate": ["the apple"]}[command]
    assert service.run(command, "photo.jpg", *text, *words) == 0
    seen = service.seen[0]
    header = options_of(COMMANDS[command])[name][1].header
    if wanted is None:
        assert seen.form[name].content == Path("mask.png").read_bytes()
    else:
        assert (seen.headers[header] if header else seen.form[name].text) == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_the_command_line_has_the_same_sentences(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    shown = "".join(capsys.readouterr().out.split())
    for name, (_, about) in options_of(COMMANDS[command]).items():
        if name not in ("points", "labels", "mode"):
            limits = f"({about.limits})" if about.limits else ""
            assert "".join(f"{about.sentence} {limits}".split()) in shown, name


def test_a_removal_has_all_options_of_the_painter_but_a_least_score() -> None:
    assert set(options_of(PaintingOptions)) - set(options_of(RemovalOptions)) == {"min_score"}
