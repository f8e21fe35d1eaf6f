"""Painting: what is sent, what is shown meanwhile, Stop, and what comes of it."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.painter import PREVIEW, colour_of
from tests.browser.pictures import BIG_APPLE, CACTUS, middle


def start_painting(person, words="a lemon"):
    person.page.fill("#target", "the cactus")
    person.page.fill("#prompt", words)
    person.page.click("#paint")
    expect(person.page.locator("#stop")).to_be_visible()


def pixel(person, place):
    """The colour on the screen at a place of the picture."""
    x, y = person.on_screen(place)
    shot = person.page.screenshot(clip={"x": round(x), "y": round(y), "width": 1, "height": 1})
    return Image.open(io.BytesIO(shot)).convert("RGB").getpixel((0, 0))


def test_the_words_and_a_seed_are_sent_and_nothing_that_nobody_chose(person, driver):
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    edit = driver.edits[0]
    assert (edit.target, edit.prompt, edit.mode, edit.n) == ("the cactus", "a lemon", "replace", 1)
    assert edit.seed is not None
    assert (edit.num_inference_steps, edit.negative_prompt, edit.avoid, edit.mask_shape) == (None, "", "", None)


def test_every_option_is_sent(person, driver):
    person.page.click("#options summary")
    person.page.select_option("#n", "3")
    person.page.select_option("#quality", "high")
    person.page.fill("#seed", "77")
    person.page.fill("#avoid", "the ball")
    person.page.fill("#negative_prompt", "blur")
    person.page.select_option("#mask_shape", "hull")
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    edit = driver.edits[0]
    assert (edit.n, edit.seed, edit.num_inference_steps) == (3, 77, 40)
    assert (edit.avoid, edit.negative_prompt, edit.mask_shape) == ("the ball", "blur", "hull")
    person.page.reload()
    expect(person.page.locator("#seed")).to_be_visible()  # the drawer is as it was


def test_steps_previews_and_the_result_appear_by_themselves(person, driver):
    driver.is_paused = True
    start_painting(person)
    person.reads("Painting… 1 s")
    expect(person.page.locator("#progress")).to_have_js_property("position", 0.5)
    person.waits_until(lambda: pixel(person, middle(CACTUS)) == PREVIEW)
    focused = "document.activeElement.id"
    assert person.page.evaluate(focused) == "paint"
    driver.is_paused = False
    person.sees_result()
    assert person.page.evaluate(focused) == "paint"
    seed = driver.edits[0].seed
    assert pixel(person, middle(CACTUS)) == colour_of(seed)
    expect(person.page.locator("#verdict")).to_have_text("Matches better than before (+0.09).")
    expect(person.page.locator("#badge-text")).to_have_text("0 pixels changed outside.")


def test_stop_is_at_once_and_painting_works_again(person, driver):
    given_up = []
    person.page.on("requestfailed", lambda request: given_up.append(request.url.rpartition("/v1/")[2]))
    driver.is_paused = True
    start_painting(person)
    person.waits_until(lambda: driver.edits)
    person.page.click("#stop")
    person.reads("Stopped. Nothing has changed.")
    expect(person.page.locator("#results")).to_be_hidden()
    assert pixel(person, middle(CACTUS)) != colour_of(driver.edits[0].seed)
    person.waits_until(lambda: given_up == ["images/edits"])
    driver.is_paused = False
    person.paint("a lemon")
    assert len(driver.edits) == 2


def test_escape_stops_too(person, driver):
    driver.is_paused = True
    start_painting(person)
    person.page.keyboard.press("Escape")
    person.reads("Stopped. Nothing has changed.")


def test_an_answer_that_comes_too_late_is_dropped(person, driver):
    """Also where the answer had come and only its outlines were still being made."""
    person.page.evaluate(
        """() => {
            const make = createImageBitmap;
            window.waiting = [];
            window.createImageBitmap = async (...given) => {
                await new Promise((go) => { window.waiting.push(go); window.came(); });
                return make(...given);
            };
            window.giveBack = () => { window.createImageBitmap = make; };
            window.hasCome = new Promise((came) => { window.came = came; });
        }"""
    )
    person.find("the apple")
    person.page.evaluate("window.hasCome.then(() => null)")
    person.page.evaluate("window.giveBack()")
    person.find("the cactus")
    person.reads("1 found. Number 1 will be repainted.")
    person.page.evaluate("window.waiting.forEach((go) => go())")
    person.page.wait_for_timeout(300)
    person.reads("1 found. Number 1 will be repainted.")


def test_several_pictures_can_be_looked_at_and_taken_back(person, driver):
    person.page.click("#options summary")
    person.page.select_option("#n", "2")
    person.page.fill("#seed", "7")
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    radios = person.page.get_by_role("group", name="Pictures, best first").get_by_role("radio")
    names = [radio.get_attribute("aria-label") for radio in radios.all()]
    assert names == [
        "Original",
        "Picture 1 of 2, the best, match +0.09, seed 7",
        "Picture 2 of 2, match +0.07, seed 8",
    ]
    radios.nth(2).check(force=True)
    expect(person.page.locator("#verdict")).to_have_text("Matches better than before (+0.07).")
    assert pixel(person, middle(CACTUS)) == colour_of(8)
    radios.nth(0).check(force=True)
    expect(person.page.locator("#after")).to_be_hidden()


def test_no_better_than_before_is_said(person, driver):
    driver.gain = -0.03
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    expect(person.page.locator("#verdict")).to_have_text("No better than before.")


def test_what_is_held_back_is_said(person, driver):
    driver.unsafe_seeds = (7,)
    person.page.click("#options summary")
    person.page.select_option("#n", "2")
    person.page.fill("#seed", "7")
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    expect(person.page.locator("#verdict")).to_contain_text("One picture was held back by the safety check.")


def test_before_and_after_compare_in_place_by_keys(person, driver):
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    compare = person.page.get_by_label("Before and after")
    boxes = [person.page.locator(name).bounding_box() for name in ("#before", "#after")]
    assert boxes[0] == boxes[1]
    compare.focus()
    person.page.keyboard.press("Home")
    expect(compare).to_have_attribute("aria-valuetext", "0 % of the result, 100 % of the original")
    assert pixel(person, middle(CACTUS)) == (40, 150, 70)
    person.page.keyboard.press("End")
    expect(compare).to_have_attribute("aria-valuetext", "100 % of the result, 0 % of the original")
    assert pixel(person, middle(CACTUS)) == colour_of(driver.edits[0].seed)
    assert [person.page.locator(name).bounding_box() for name in ("#before", "#after")] == boxes


def test_the_divider_is_dragged_over_the_picture(person, driver):
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    person.draws([(0, 180), (240, 180)])
    expect(person.page.locator("#compare")).to_have_value("50")
    assert pixel(person, (CACTUS[0] + 5, 200)) == (40, 150, 70)
    assert pixel(person, (CACTUS[2] - 5, 200)) == colour_of(driver.edits[0].seed)
    expect(person.page.locator("#clear")).to_have_attribute("aria-disabled", "true")  # it drew no point


def test_holding_c_shows_the_original(person, driver):
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    person.page.locator("#stage").focus()
    person.page.keyboard.down("c")
    expect(person.page.locator("#after")).to_be_hidden()
    person.page.keyboard.up("c")
    expect(person.page.locator("#after")).to_be_visible()


def test_painting_again_takes_another_seed_and_the_same_words(person, driver):
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    person.page.click("#again")
    expect(person.page.locator("#history-list li")).to_have_count(2)
    first, second = driver.edits
    assert first.seed != second.seed
    assert (first.target, first.prompt) == (second.target, second.prompt)


def test_one_goes_on_from_a_result_and_back(person, driver):
    person.page.click("#options summary")
    person.page.fill("#seed", "200")
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    person.page.click("#continue")
    expect(person.page.locator("#results")).to_be_hidden()
    person.find("the apple")
    person.reads("2 found. Number 1 will be repainted.")
    assert tuple(driver.searches[0].image[middle(CACTUS)[::-1]]) == colour_of(driver.edits[0].seed)
    for _ in range(2):
        person.page.click("#undo")
    expect(person.page.locator("#results")).to_be_visible()


def test_a_result_is_downloaded_under_a_name_that_says_what_it_is(person, driver):
    person.page.click("#options summary")
    person.page.fill("#seed", "7")
    person.page.fill("#target", "the cactus")
    person.paint("a ripe lemon")
    with person.page.expect_download() as download:
        person.page.click("#download")
    assert download.value.suggested_filename == "scene.ripe-lemon.seed7.png"
    saved = np.asarray(Image.open(download.value.path()))
    assert tuple(saved[middle(CACTUS)[::-1]]) == colour_of(7)
    assert tuple(saved[middle(BIG_APPLE)[::-1]]) == (214, 40, 40)


def test_words_that_ask_for_a_removal_need_no_seed(person, driver):
    person.page.fill("#target", "")
    person.paint("remove the cactus")
    assert driver.edits[0].seed is None
    assert driver.edits[0].prompt == "remove the cactus"


def test_a_removal_names_what_goes(person, driver):
    person.page.fill("#target", "the cactus")
    person.page.click("#remove")
    person.sees_result()
    edit = driver.edits[0]
    assert (edit.mode, edit.target, edit.prompt, edit.seed) == ("remove", "the cactus", "", None)
    expect(person.page.locator("#again")).to_be_hidden()  # it would look the same


@pytest.mark.parametrize(("button", "field"), [("#paint", "prompt"), ("#find", "target"), ("#remove", "target")])
def test_missing_words_are_asked_for_where_they_belong(person, driver, button, field):
    person.page.click(button)
    expect(person.page.locator(f"#{field}-problem")).to_contain_text("Say what to")
    assert person.page.evaluate("document.activeElement.id") == field
    assert driver.requests == []


@pytest.mark.parametrize("before", [True, False], ids=["before", "meanwhile"])
def test_pointing_does_not_cancel_a_painting(person, driver, before):
    driver.is_paused = True
    person.page.fill("#target", "the cactus")
    person.page.fill("#prompt", "a lemon")
    if before:
        person.clicks(middle(BIG_APPLE))
    person.page.locator("#paint").dispatch_event("click")
    person.waits_until(lambda: driver.edits)
    if not before:
        person.clicks(middle(BIG_APPLE))
    person.page.wait_for_timeout(300)
    driver.is_paused = False
    person.sees_result()
    assert len(driver.edits) == 1
    assert driver.searches == []
