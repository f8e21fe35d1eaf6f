"""Pictures of the page in eight states, on a desk and on a phone, light and dark: outputs/screenshots/.

python -m tests.browser.screenshots
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, expect, sync_playwright
from scipy import ndimage

from deployments.errors import Overloaded
from deployments.limits import Limits
from deployments.messages import Readiness
from pocket.sample import STICKERS
from tests.browser.conftest import CHROMIUM, DESKTOP, PHONE, Service
from tests.browser.painter import ColourPainter
from tests.browser.person import Person

FOLDER = Path("outputs/screenshots")


class StickerPainter(ColourPainter):
    """Finds the stickers of the sample by the ground around them, and paints them in other colours."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = self.settings.model_copy(update={"limits": Limits()})
        self.colours = {name.split()[-1]: name for name, *_ in STICKERS}

    def things(self, image: np.ndarray, name: Any) -> list[np.ndarray]:
        ground = np.median(image, axis=1, keepdims=True)
        solid = ndimage.binary_closing(np.abs(image - ground).sum(axis=2) > 40, iterations=3)
        parts, _ = ndimage.label(solid)
        noun, (height, width) = name.split()[-1], image.shape[:2]
        middles = [
            (int(bottom * height) - longest_px // 2, int(centre * width))
            for each, longest_px, centre, bottom, _ in STICKERS
            if each.endswith(noun)
        ]
        return [ndimage.binary_fill_holes(parts == parts[middle]) for middle in middles]

    def paint(self, image: np.ndarray, mask: np.ndarray, seed: int | None) -> np.ndarray:
        return np.where(mask[..., None], image[..., [1, 0, 2]], image)


def states(browser: Browser, service: Service, driver: ColourPainter, **options: Any) -> Iterator[tuple[str, Person]]:
    """Yield the states of the page, one after another, with who is at it."""
    page = browser.new_context(reduced_motion="reduce", **options).new_page()
    page.set_default_timeout(10_000)
    person = Person(page, service.url)
    driver.stages["inpaint"] = Readiness(False)
    person.arrive()
    expect(page.locator("#notice-text")).to_contain_text("The models are starting")
    yield "1-starting", person
    driver.stages["inpaint"] = Readiness(True)
    expect(page.locator("#notice")).to_be_hidden()
    yield "2-empty", person
    page.click("#sample")
    person.sees_picture()
    person.find("the balloon")
    expect(page.locator("#notice-text")).to_contain_text("Number 1 will be repainted")
    yield "3-found", person
    person.takes("brush")
    person.draws([(290, 60), (300, 130), (350, 150)])
    person.takes("eraser")
    person.clicks((75, 120))
    yield "4-drawn", person
    driver.is_paused = True
    page.fill("#prompt", "a green balloon")
    page.locator("#next" if page.locator("#next").is_visible() else "#paint").click()
    expect(page.locator("#stop")).to_be_visible()
    yield "5-painting", person
    driver.is_paused = False
    person.sees_result()
    page.wait_for_timeout(300)
    yield "6-result", person
    page.click("#clear")
    person.find("the owl")
    expect(page.locator("#notice-text")).to_contain_text("Found no owl")
    page.evaluate("scrollTo(0, 0)")
    yield "7-not-found", person
    driver.failures.append(Overloaded(retry_after_s=4))
    person.find("the cactus")
    expect(page.locator("#notice-text")).to_contain_text("Busy")
    yield "8-busy", person
    page.context.close()


def main() -> int:
    """Take the pictures. Return 1 where there is no browser."""
    if CHROMIUM is None:
        print("error: there is no chromium on this machine (apt-get install chromium)", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    driver = StickerPainter()
    service = Service(driver)
    service.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                for device, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
                    for state, person in states(browser, service, driver, viewport=viewport, color_scheme=scheme):
                        person.page.screenshot(path=FOLDER / f"{device}-{scheme}-{state}.png")
            browser.close()
    finally:
        service.stop()
    print(f"Saved the states of the page in {FOLDER}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
