"""What a person does at the page, in pixels of the picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from playwright.sync_api import Page, expect

Place = tuple[float, float]


class Person:
    """Someone at the page. Places are (x, y) in pixels of the picture, origin at its upper left corner."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url

    def arrive(self) -> None:
        self.page.goto(self.url)
        self.page.wait_for_selector("body.ready")

    def choose(self, data: bytes, name: str = "scene.png", kind: str = "image/png") -> None:
        """Choose a picture file, and wait until it is on the stage."""
        self.page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})
        self.sees_picture()

    def sees_picture(self) -> None:
        expect(self.page.locator("#before")).to_be_visible()
        expect(self.page.locator("#before")).to_have_js_property("complete", True)

    def find(self, words: str) -> None:
        self.page.fill("#target", words)
        self.page.click("#find")

    def paint(self, words: str) -> None:
        """Paint, and wait for the result."""
        self.page.fill("#prompt", words)
        self.page.click("#paint")
        self.sees_result()

    def sees_result(self) -> None:
        expect(self.page.locator("#results")).to_be_visible()
        expect(self.page.locator("#stop")).to_be_hidden()

    def reads(self, text: str | re.Pattern[str]) -> None:
        """Wait until the notice over the picture says `text`."""
        expect(self.page.locator("#notice-text")).to_have_text(text)

    def presses(self, label: str) -> None:
        """Press a button of the notice."""
        self.page.locator("#notice-actions").get_by_role("button", name=label).click()

    def takes(self, tool: str) -> None:
        self.page.locator(f"input[name=tool][value={tool}]").check(force=True)

    def waits_until(self, condition: Callable[[], Any]) -> None:
        """Wait until something has happened on the other side."""
        for _ in range(1000):
            if condition():
                return
            self.page.wait_for_timeout(10)
        raise AssertionError("it never happened")

    def on_screen(self, place: Place) -> Place:
        """Return where a place of the picture is on the screen."""
        box = self.page.locator("#before").bounding_box()
        width = self.page.evaluate("document.getElementById('before').naturalWidth")
        assert box is not None
        scale = box["width"] / width
        return box["x"] + place[0] * scale, box["y"] + place[1] * scale

    def clicks(self, place: Place, **options: Any) -> None:
        """Click in the middle of a pixel of the picture."""
        self.page.mouse.click(*self.on_screen((place[0] + 0.5, place[1] + 0.5)), **options)

    def draws(self, places: Sequence[Place]) -> None:
        """Press at the first place, move through all, and let go at the last."""
        self.page.mouse.move(*self.on_screen(places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.on_screen(place), steps=4)
        self.page.mouse.up()

    def touches(self, *steps: Sequence[Place]) -> None:
        """Put as many fingers down as the first step has places, move them through the others, and lift them."""
        session = self.page.context.new_cdp_session(self.page)
        for number, places in enumerate(steps):
            points = [dict(zip(("x", "y"), self.on_screen(place), strict=True)) for place in places]
            for one in range(1, len(points) + 1) if number == 0 else [len(points)]:
                kind = "touchStart" if number == 0 else "touchMove"
                session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points[:one]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.detach()
