"""A first edit as a person does it, in front of the real pocket models: few clicks, two texts, seconds."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.test_page_painting import pixel
from tests.docs.pocket_service import PocketService

STEPS = 30  # of the service by default
PATIENCE_MS = 120_000  # models work here, on whatever machine this is
CACTUS = 235, 255  # in the sample

# The page counts for itself what was clicked with the pointer and which fields were typed into.
COUNTERS = """
window.clicks = 0;
window.texts = new Set();
addEventListener("click", (event) => { window.clicks += event.isTrusted && event.detail > 0; }, true);
addEventListener("input", (event) => {
    if (event.target === document.activeElement) window.texts.add(event.target.id);
}, true);
"""
SECONDS = """() => (performance.now() - performance.getEntriesByName("first-paint")[0].startTime) / 1000"""


@pytest.fixture
def pocket_service() -> Iterator[PocketService]:
    service = PocketService(STEPS)
    try:
        assert service.url
        yield service
    finally:
        service.stop()


def test_a_first_edit_takes_five_clicks_and_two_texts(visit, pocket_service, record_property):
    person = visit(pocket_service)
    page = person.page
    page.add_init_script(COUNTERS)
    person.arrive()
    page.click("#sample")
    person.sees_picture()
    before = pixel(person, CACTUS)
    page.click("#target")
    page.keyboard.type("the cactus")
    page.click("#find")
    expect(page.locator("#notice-text")).to_have_text(re.compile("Number 1 will be"), timeout=PATIENCE_MS)
    page.click("#prompt")
    page.keyboard.type("a lemon")
    page.click("#paint")
    expect(page.locator("#results")).to_be_visible(timeout=PATIENCE_MS)
    seconds = page.evaluate(SECONDS)
    expect(page.locator("#badge-text")).to_have_text("0 pixels changed outside.")
    assert np.abs(np.subtract(pixel(person, CACTUS), before)).max() > 40
    assert page.evaluate("window.clicks") <= 5
    assert page.evaluate("[...window.texts]") == ["target", "prompt"]
    record_property("seconds from the first paint to the picture", round(seconds, 2))
    print(f"From the first paint to the picture: {seconds:.2f} s")
