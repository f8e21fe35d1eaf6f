"""The conformance suite holds in every row for this service, and its rows fail for servers that are wrong."""

import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from openai.types.image_edit_params import ImageEditParamsBase
from PIL import Image, ImageOps
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from benchmarks.conformance import pictures
from benchmarks.conformance.__main__ import main
from benchmarks.conformance.events import streamed
from benchmarks.conformance.groups import GROUPS, parameters
from benchmarks.conformance.rows import Fails, Result, Row, run
from benchmarks.conformance.server import Server

ROOT = Path(__file__).parents[2]
ALL_ROWS = [row for group in GROUPS for row in group.rows]
# The service has no keys of its own.
NOT_ASKED = {"refusals.wrong_key"}


def asked(base_url: str, rows: list[Row]) -> dict[str, Result]:
    with Server(f"{base_url}/v1") as server:
        return {result.row.name: result for result in run(server, rows)}


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_row_holds_for_this_service(server, group):
    results = asked(server, group.rows)
    assert {name: result.why for name, result in results.items() if result.outcome == "fails"} == {}
    assert {name for name, result in results.items() if result.outcome == "not asked"} <= NOT_ASKED


def test_every_parameter_of_the_installed_sdk_is_asked():
    names = {name for name, _ in parameters.CASES.values()} | parameters.ELSEWHERE | {"markup"}
    assert names >= set(ImageEditParamsBase.__annotations__)
    assert parameters.UNKNOWN not in [value for _, value in parameters.CASES.values()]


def test_rows_have_names_and_titles_of_their_own():
    assert len({row.name for row in ALL_ROWS}) == len(ALL_ROWS)
    for group in GROUPS:
        assert len({row.title for row in group.rows}) == len(group.rows)


def stream_of(text: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_line_ends_of_the_standard_end_a_line_of_a_stream(end):
    text = "line\u2028and\u0085next"
    content = json.dumps({"text": text}, ensure_ascii=False)
    (first, second) = streamed(stream_of(f": hello{end}{end}" + f"event: a{end}data: {content}{end}{end}" * 2))
    assert first == second
    assert (first.events, first.json, first.others) == (("a",), {"text": text}, ())


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_stream_whose_last_event_is_unfinished_fails(end):
    with pytest.raises(Fails, match="no blank line after it"):
        streamed(stream_of("data: {}\n\ndata: {}" + end))


def test_a_parameter_that_the_installed_sdk_lacks_is_not_asked():
    row = Row("x.x", "It is newer", lambda server: server.edit(of_next_year=1))
    result = asked("http://127.0.0.1:9", [row])["x.x"]
    assert result.outcome == "not asked"
    assert re.fullmatch(r"the installed SDK, openai [\d.]+, lacks of_next_year", result.why)


@pytest.mark.parametrize(
    ("host", "outcome"),
    [("192.0.2.1", "not asked"), ("images.example", "not asked"), ("127.0.0.1", "fails"), ("[::1]", "fails")],
)
def test_only_a_server_of_this_machine_is_sent_an_address_of_it(host, outcome):
    rows = [row for row in ALL_ROWS if row.name == "json_bodies.private_address"]
    assert asked(f"http://{host}:9", rows)["json_bodies.private_address"].outcome == outcome


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    until = time.monotonic() + 30
    while not running.started and time.monotonic() < until:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join(timeout=30)


def png_base64(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return pictures.data_url(out.getvalue()).partition(",")[2]


async def careless(request: Request) -> Response:
    """Serves the SDK in the simplest case, and is wrong in everything around it."""
    if request.headers["authorization"] != "Bearer none":
        return JSONResponse({"detail": "Who is this?"}, 403)
    if not (await request.body()).endswith(b"--\r\n"):
        return JSONResponse({"detail": "There was an error parsing the body"}, 422)
    async with request.form() as form:
        if not form.get("prompt") or form.get("n", "1") not in ("1", "2", "3"):
            return JSONResponse({"detail": [{"loc": ["body"], "msg": "wrong"}]}, 422)
        with Image.open(form["image"].file) as image:
            painted = png_base64(ImageOps.invert(image.convert("RGB")))
        answer = {"created": int(time.time()), "size": "256x256", "output_format": "png"}
        if form.get("stream") != "true":
            return JSONResponse(answer | {"data": [{"b64_json": painted}] * int(form.get("n", "1"))})
    partial = {"type": "image_edit.partial_image", "b64_json": painted, "partial_image_index": 1}
    completed = {"type": "image_edit.completed", "b64_json": painted} | answer
    events = f"id: 1\nevent: partial\ndata: {json.dumps(partial)}\n\nid: 2\ndata: {json.dumps(completed)}\n\n"
    return Response(events, media_type="text/event-stream")


CARELESS = Starlette(routes=[Route("/v1/images/edits", careless, methods=["POST"])])


async def obliging(scope, receive, send):
    """Says yes to everything, with nothing in it."""
    answer = Response(status_code=204) if scope["method"] == "HEAD" else JSONResponse({})
    await answer(scope, receive, send)


# Row -> words of why it fails.
CARELESS_FAILURES = {
    "inputs.the_mask_counts": "outside",
    "sdk.usage": "no `usage`",
    "sdk.describes": "`quality` is None",
    "sdk.request_id": "NotFoundError|404|status 404",
    "sdk.lists_models": "404",
    "parameters.acts_or_is_refused:output_format=webp": "the picture is a PNG",
    "parameters.acts_or_is_refused:size=512x512": "256x256",
    "parameters.acts_or_is_refused:safety_identifier=someone-7f3a": "`safety_identifier` None",
    "parameters.acts_or_is_refused:background=transparent": "no transparency",
    "parameters.acts_or_is_refused:response_format=url": "no `url`",
    "refusals.wrong_value:n=0": "status 422 instead of 400",
    "refusals.unknown_parameter": "it was served",
    "refusals.wrong_key": "status 403 instead of 401",
    "refusals.too_large": "it was served",
    "plain_http.no_prompt": "status 422",
    "plain_http.options": "instead of 404 or 405|application/json",
    "streams.same_type": "event: \\('partial',\\)",
    "streams.no_other_lines": "lines of id",
    "streams.partial_indices": "indices are \\[1\\]",
    "streams.usage": "no `usage`",
    "streams.a_completed_each": "1 came",
    "streams.no_partials": "1 came",
    "streams.error_before:n=0": "status 422",
    "retouch_retries.replay": "no x-retouch-replayed",
}


@pytest.fixture(scope="module")
def careless_results() -> dict[str, Result]:
    with serving(CARELESS) as base_url:
        return asked(base_url, ALL_ROWS)


@pytest.mark.parametrize(("name", "why"), CARELESS_FAILURES.items())
def test_a_row_fails_for_a_careless_server_and_says_why(careless_results, name, why):
    assert careless_results[name].outcome == "fails"
    assert re.search(why, careless_results[name].why)


def test_a_careless_server_is_not_wronged(careless_results):
    """What it does right holds."""
    for name in ("sdk.sync_edit", "sdk.async_edit", "sdk.created", "sdk.two_pictures", "inputs.a_picture_is:a path"):
        assert careless_results[name].outcome == "holds"


def test_every_row_can_fail(careless_results):
    with serving(obliging) as base_url:
        obliging_results = asked(base_url, ALL_ROWS)
    never = {
        row.name
        for row in ALL_ROWS
        if "fails" not in (careless_results[row.name].outcome, obliging_results[row.name].outcome)
    }
    assert never == set()


def test_the_command_prints_a_table_and_exits_with_what_fails(server, tmp_path, capsys):
    found = tmp_path / "found.json"
    assert main(["--base-url", f"{server}/v1", "--only", "plain_http.*", "--json", str(found)]) == 0
    shown = capsys.readouterr().out
    assert "holds     A form without a prompt is refused with 400, naming `prompt`" in shown
    assert "Not asked: Retouch: beyond the contract." in shown
    content = json.loads(found.read_text())
    assert content["counts"] == {"holds": len(content["rows"])}
    assert all(row["name"].startswith("plain_http.") for row in content["rows"])


def test_the_command_fails_if_a_row_fails(capsys):
    with serving(CARELESS) as base_url:
        assert main(["--base-url", f"{base_url}/v1", "--only", "inputs.the_mask_counts"]) == 1
    shown = capsys.readouterr().out
    assert "fails     A mask counts" in shown
    assert "outside" in shown
    assert "1 rows: 0 hold, 1 fail" in shown


@pytest.mark.parametrize("words", [[], ["--api-key", ""]])
def test_an_empty_key_is_no_key(server, monkeypatch, words):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert main(["--base-url", f"{server}/v1", "--only", "plain_http.no_prompt", *words]) == 0


def test_the_command_says_when_there_is_nothing_to_ask(server, capsys):
    assert main(["--base-url", f"{server}/v1", "--only", "nothing.*"]) == 2
    assert main(["--base-url", "http://127.0.0.1:9/v1"]) == 2
    shown = capsys.readouterr().err
    assert "There is no row 'nothing.*'" in shown
    assert "Nothing answers at http://127.0.0.1:9/v1" in shown


def test_the_command_needs_neither_the_service_nor_its_models():
    """Whoever tests another server installs `openai`, `httpx` and `pillow`."""
    code = "import sys, benchmarks.conformance.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"deployments", "torch", "ray", "numpy", "starlette", "fastapi", "uvicorn"} & set(loaded.stdout.split())
