"""How a picture comes to the page."""

import base64
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.pictures import CACTUS, middle, png, scene, turned_jpeg, upright


def test_the_sample_becomes_a_result_in_three_clicks(visit, driver):
    driver.colours["cactus"] = (126, 179, 48)
    person = visit()
    person.page.click("#sample")
    person.page.get_by_role("button", name="the cactus → a lemon").click()
    person.reads(re.compile("found. Number 1 will be repainted."))
    person.page.click("#paint")
    person.sees_result()
    assert (driver.edits[0].target, driver.edits[0].prompt) == ("the cactus", "a lemon")


@pytest.mark.parametrize("way", ["drop", "paste", "choose"])
def test_a_picture_can_be_dropped_pasted_and_chosen(visit, driver, way):
    person = visit()
    data = png(scene())
    if way == "choose":
        with person.page.expect_file_chooser() as chooser:
            person.page.click("#choose")
        chooser.value.set_files({"name": "scene.png", "mimeType": "image/png", "buffer": data})
    else:
        person.page.evaluate(
            """([way, text]) => {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                const dataTransfer = new DataTransfer();
                dataTransfer.items.add(new File([bytes], "scene.png", { type: "image/png" }));
                const options = { bubbles: true, cancelable: true, dataTransfer, clipboardData: dataTransfer };
                document.body.dispatchEvent(
                    way === "drop" ? new DragEvent("drop", options) : new ClipboardEvent("paste", options));
            }""",
            [way, base64.b64encode(data).decode()],
        )
    person.sees_picture()
    person.find("the cactus")
    person.reads("1 found. Number 1 will be repainted.")
    np.testing.assert_array_equal(driver.searches[0].image, np.asarray(scene()))


def test_a_mask_lands_right_on_a_picture_of_any_orientation(visit, driver):
    person = visit()
    for orientation in range(1, 9):
        file = turned_jpeg(scene(), orientation)
        person.choose(file, "photo.jpg", "image/jpeg")
        expect(person.page.locator("#clear")).to_have_attribute("aria-disabled", "true")
        person.takes("brush")
        person.clicks(middle(CACTUS))
        person.paint("a lemon")
        edit = driver.edits[-1]
        np.testing.assert_array_equal(edit.image, upright(file))
        assert edit.mask[middle(CACTUS)[::-1]]
        rows, columns = np.nonzero(edit.mask)
        np.testing.assert_allclose((columns.mean(), rows.mean()), middle(CACTUS), atol=2)
    assert len(driver.edits) == 8


def test_a_picture_that_is_too_large_can_be_made_smaller(visit, driver):
    person = visit()
    large = scene().resize((1500, 1125), Image.Resampling.NEAREST)
    person.page.set_input_files("#file", {"name": "large.png", "mimeType": "image/png", "buffer": png(large)})
    person.reads("1.7 megapixels; at most 1 are accepted.")
    person.presses("Make it smaller")
    person.sees_picture()
    person.find("the cactus")
    person.reads("1 found. Number 1 will be repainted.")
    height, width = driver.searches[0].image.shape[:2]
    assert 900_000 < width * height <= 1_000_000
    assert abs(width / height - 4 / 3) < 0.01
    x, y = middle(CACTUS)
    shrunk = driver.searches[0].image[y * height // 360, x * width // 480]
    np.testing.assert_allclose(shrunk, (40, 150, 70), atol=12)


def test_too_many_bytes_are_made_fewer(visit, driver):
    person = visit()
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (900, 1110, 3), dtype=np.uint8))
    person.page.set_input_files("#file", {"name": "noise.png", "mimeType": "image/png", "buffer": png(noise)})
    person.reads("3.0 MB; at most 3.0 are accepted.")
    person.presses("Make it smaller")
    person.sees_picture()


@pytest.mark.parametrize(
    "data", [b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"GIF89a" + bytes(40), b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
)
def test_a_file_of_another_kind_is_refused_in_words(visit, data):
    person = visit()
    person.page.set_input_files("#file", {"name": "photo.heic", "mimeType": "image/png", "buffer": data})
    person.reads("This file cannot be read. Choose PNG, JPEG or WebP.")
    expect(person.page.locator("#empty")).to_be_visible()
    person.choose(png(scene()))


def test_a_damaged_picture_is_refused_in_words(visit):
    person = visit()
    broken = png(scene())[:40] + bytes(200)
    person.page.set_input_files("#file", {"name": "photo.png", "mimeType": "image/png", "buffer": broken})
    person.reads("This picture is damaged. Choose another one.")


def test_another_picture_can_be_taken_back(person):
    person.find("the apple")
    person.reads("2 found. Number 1 will be repainted.")
    other = Image.new("RGB", (300, 300), "white")
    person.choose(png(other), "other.png")
    expect(person.page.locator("#before")).to_have_js_property("naturalWidth", 300)
    person.page.click("#undo")
    expect(person.page.locator("#before")).to_have_js_property("naturalWidth", 480)
    expect(person.page.locator("#candidates")).to_be_visible()


def test_what_is_transparent_is_white_when_it_is_made_smaller(visit, driver):
    person = visit()
    clear = Image.new("RGBA", (1500, 1125), (0, 0, 0, 0))
    person.page.set_input_files("#file", {"name": "clear.png", "mimeType": "image/png", "buffer": png(clear)})
    person.presses("Make it smaller")
    person.sees_picture()
    person.find("the cactus")
    person.waits_until(lambda: driver.searches)
    assert driver.searches[0].image.min() == 255


def test_a_picture_that_is_chosen_while_another_is_made_smaller_stays(visit):
    person = visit()
    person.page.evaluate(
        """() => {
            const { postMessage } = Worker.prototype;
            Worker.prototype.postMessage = function (data) { window.go = () => postMessage.call(this, data); };
        }"""
    )
    large = scene().resize((1500, 1125), Image.Resampling.NEAREST)
    person.page.set_input_files("#file", {"name": "large.png", "mimeType": "image/png", "buffer": png(large)})
    person.presses("Make it smaller")
    person.choose(png(scene()))
    person.page.evaluate("window.go()")
    person.page.wait_for_timeout(500)
    expect(person.page.locator("#before")).to_have_js_property("naturalWidth", 480)
