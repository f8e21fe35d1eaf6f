"""The snippets paint the very pixels again, and the page works under a prefix."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import Service
from tests.browser.pictures import SMALL_APPLE, middle, png, scene


def words(person):
    person.page.fill("#target", "the apple’s 'twin'")
    person.page.locator("#target").fill("the apple")
    person.paint('@home, it\'s "a" $lemon; `ls`')


def candidate(person):
    person.find("the apple")
    person.reads("2 found. Number 1 will be repainted.")
    person.clicks(middle(SMALL_APPLE))
    person.paint("a lemon")


def points(person):
    person.clicks(middle(SMALL_APPLE))
    person.reads("Cut out where you pointed.")
    person.takes("minus")
    with person.page.expect_response("**/v1/locate"):
        person.clicks((10, 10))
    person.reads("Cut out where you pointed.")
    person.paint("a lemon")


def box(person):
    person.takes("box")
    person.draws([(50, 50), (170, 170)])
    person.reads("Cut out where you pointed.")
    person.paint("a lemon")


def mask(person):
    person.takes("brush")
    person.draws([(100, 100), (300, 250)])
    person.paint("a lemon")


def removal(person):
    person.page.fill("#target", "the cactus")
    person.page.click("#remove")
    person.sees_result()


def ground(person):
    person.page.click("#options summary")
    person.page.select_option("#fill_method", "painter")
    person.page.fill("#target", "both apples")
    person.page.click("#remove")
    person.sees_result()


def several(person):
    person.page.click("#options summary")
    person.page.select_option("#n", "2")
    person.page.select_option("#quality", "low")
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")


EDITS = [words, candidate, points, box, mask, removal, ground, several]


@pytest.mark.parametrize("edit", EDITS, ids=[edit.__name__ for edit in EDITS])
def test_the_snippets_give_the_same_pixels(person, driver, tmp_path, edit):
    edit(person)
    (tmp_path / "scene.png").write_bytes(png(scene()))
    with person.page.expect_download() as download:
        person.page.click("#download")
    shown = np.asarray(Image.open(download.value.path()))
    texts = {}
    for kind in ("curl", "python"):
        person.page.click(f"#copy-{kind}")
        texts[kind] = person.page.locator("#snippet-text").text_content()
        for save in person.page.locator("#snippet-downloads button").all():
            with person.page.expect_download() as download:
                save.click()
            download.value.save_as(tmp_path / download.value.suggested_filename)
        person.page.keyboard.press("Escape")
    for kind, command in (("curl", ["sh", "-c", texts["curl"]]), ("python", [sys.executable, "-c", texts["python"]])):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        again = np.asarray(Image.open(tmp_path / "edited.png"))
        np.testing.assert_array_equal(again, shown, err_msg=kind)
        (tmp_path / "edited.png").unlink()


def test_the_page_works_under_a_prefix(visit, driver):
    service = Service(driver, prefix="/team/retouch")
    service.start()
    try:
        person = visit(service)
        person.page.goto(service.url.rstrip("/"))
        assert person.page.url == service.url
        person.choose(png(scene()))
        person.find("the apple")
        person.reads("2 found. Number 1 will be repainted.")
        person.page.click("text=API")
        expect(person.page.locator("#operations section").first).to_be_visible()
        assert person.page.url == service.url + "docs"
        person.page.close()
    finally:
        service.stop()
