"""An edit that comes as a stream of events: progress, previews, and the pictures, in whatever pieces they arrive."""

import base64
import json

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.painter import colour_of
from tests.browser.pictures import CACTUS, middle, png, scene
from tests.browser.test_page_painting import pixel

# In place of the answer to an edit the page gets a stream that the test writes.
WRITTEN_BY_THE_TEST = """
const fetchOthers = window.fetch;
window.fetch = async (address, options) => {
    if (!String(address).endsWith("v1/images/edits")) return fetchOthers(address, options);
    window.asked = [...options.body.entries()].filter(([, value]) => typeof value === "string");
    const body = new ReadableStream({ start(controller) { window.stream = controller; } });
    options.signal.addEventListener("abort", () => window.stream.error(options.signal.reason));
    return new Response(body, { headers: { "content-type": "text/event-stream", "x-request-id": "abc" } });
};
"""


class Stream:
    """The stream that the page reads, at the test's end."""

    def __init__(self, page):
        self.page = page

    def write(self, data):
        text = base64.b64encode(data).decode()
        self.page.evaluate("(text) => window.stream.enqueue(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)))", text)

    def send(self, kind, **fields):
        self.write(event(kind, **fields))

    def close(self):
        self.page.evaluate("window.stream.close()")


def event(kind, **fields):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


@pytest.fixture
def stream(visit):
    person = visit()
    person.page.add_init_script(WRITTEN_BY_THE_TEST)
    person.arrive()
    person.choose(png(scene()))
    person.page.fill("#target", "the cactus")
    person.page.fill("#prompt", "a lemon")
    person.page.click("#paint")
    expect(person.page.locator("#stop")).to_be_visible()
    person.waits_until(lambda: person.page.evaluate("Boolean(window.stream)"))
    stream = Stream(person.page)
    stream.person = person
    return stream


def answer(service, n):
    """The JSON answer to an edit, as the events of its pictures."""
    form = {"target": "the cactus", "prompt": "a lemon", "seed": "7", "n": str(n)}
    body = httpx.post(service.url + "v1/images/edits", data=form, files={"image": png(scene())}).json()
    pictures = body.pop("data")
    return [{**body, **picture, "index": index, "count": n} for index, picture in enumerate(pictures)]


def test_progress_previews_and_pictures_are_shown_as_they_come(stream, service):
    person, page = stream.person, stream.person.page
    asked = dict(page.evaluate("window.asked"))
    assert (asked["stream"], asked["progress"], asked["partial_images"]) == ("true", "true", "2")
    stream.send("image_edit.progress", stage="segment", done=0, total=0)
    expect(page.locator("#notice-text")).to_contain_text("Cutting it out…")
    stream.write(b": ping\n\n")
    stream.send("image_edit.progress", stage="inpaint", done=5, total=20)
    expect(page.locator("#progress")).to_have_js_property("position", 0.25)
    preview = png(Image.new("RGB", (480, 360), (9, 90, 200)))
    data = event(
        "image_edit.partial_image",
        b64_json=base64.b64encode(preview).decode(),
        partial_image_index=0,
        output_format="png",
    )
    for start in range(0, len(data), 997):
        stream.write(data[start : start + 997])
    expect(page.locator("#after")).to_be_visible()
    person.waits_until(lambda: pixel(person, middle(CACTUS)) == (9, 90, 200))
    first, second = answer(service, 2)
    stream.write(event("image_edit.completed", **second).replace(b"\n", b"\r\n"))
    expect(page.locator("#stop")).to_be_visible()
    stream.send("image_edit.completed", **first)
    person.sees_result()
    assert pixel(person, middle(CACTUS)) == colour_of(7)
    expect(page.locator("#result-list input")).to_have_count(3)


def test_a_preview_is_gone_after_stop(stream):
    person, page = stream.person, stream.person.page
    preview = base64.b64encode(png(Image.new("RGB", (480, 360), (9, 90, 200)))).decode()
    stream.send("image_edit.partial_image", b64_json=preview, partial_image_index=0, output_format="png")
    expect(page.locator("#after")).to_be_visible()
    page.click("#stop")
    person.reads("Stopped. Nothing has changed.")
    expect(page.locator("#after")).to_be_hidden()
    np.testing.assert_allclose(pixel(person, middle(CACTUS)), (40, 150, 70), atol=2)


def test_a_stream_that_ends_without_a_picture_is_a_lost_connection(stream):
    stream.send("image_edit.progress", stage="inpaint", done=5, total=20)
    stream.close()
    stream.person.reads("The service cannot be reached. Your work is kept.")
    expect(stream.person.page.locator("#progress")).to_be_hidden()


def test_a_stream_that_ends_with_an_error_says_which(stream):
    stream.send("error", error={"message": "x", "type": "server_error", "param": None, "code": "deadline_exceeded"})
    stream.person.reads("This took too long. Try lower quality.")


def test_a_failure_in_a_stream_has_its_report_and_can_be_tried_again(stream):
    error = {"message": "The stage inpaint failed.", "type": "server_error", "param": None, "code": "model_failed"}
    stream.send("error", error=error)
    stream.person.reads("The stage inpaint failed. Report id abc")
    expect(stream.person.page.get_by_role("button", name="Try again")).to_be_visible()
