"""Finding: by words, by points, by a box, and what is not there."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.pictures import BALL, BIG_APPLE, CACTUS, SMALL_APPLE, middle, png, scene

FOUND_TWO = "2 found. Number 1 will be repainted."
POINTED = "Cut out where you pointed."


def candidates(person):
    return person.page.get_by_role("group", name="Which one?").get_by_role("radio")


def test_another_candidate_is_chosen_in_the_list_and_repainted(person, driver):
    person.find("the apple")
    person.reads(FOUND_TWO)
    names = [radio.get_attribute("aria-label") for radio in candidates(person).all()]
    assert names == [
        "Number 1 of 2, upper left, 5 % of the picture",
        "Number 2 of 2, upper right, 2 % of the picture",
    ]
    candidates(person).nth(1).check()
    person.paint("a lemon")
    edit = driver.edits[0]
    assert (edit.target, edit.candidate, edit.points, edit.mask) == ("the apple", 1, (), None)


def test_another_candidate_is_chosen_in_the_picture(person, driver):
    person.find("the apple")
    person.reads(FOUND_TWO)
    person.clicks(middle(SMALL_APPLE))
    expect(candidates(person).nth(1)).to_be_checked()
    person.page.click("#undo")
    expect(candidates(person).nth(0)).to_be_checked()
    person.paint("a lemon")
    assert driver.edits[0].candidate is None
    assert len(driver.searches) == 1


def test_all_of_them_are_repainted_until_one_is_chosen(person, driver):
    person.find("both apples")
    person.reads("2 found. All 2 of them will be repainted.")
    expect(candidates(person).nth(0)).to_be_checked()
    person.paint("a lemon")
    assert (driver.edits[0].target, driver.edits[0].candidate, driver.edits[0].all) == ("both apples", None, None)
    candidates(person).nth(2).check()
    person.page.click("#paint")
    expect(person.page.locator("#history-list li")).to_have_count(2)
    assert (driver.edits[1].candidate, driver.edits[1].all) == (1, False)


def test_points_change_what_is_meant_and_clicking_one_takes_it_away(person, driver):
    person.clicks(middle(BIG_APPLE))
    person.reads(POINTED)
    person.clicks(middle(CACTUS))
    person.takes("minus")
    person.clicks(middle(BALL))
    person.waits_until(lambda: len(driver.searches[-1].points) == 3)
    person.reads(POINTED)
    assert driver.searches[-1].points == (middle(BIG_APPLE), middle(CACTUS), middle(BALL))
    assert driver.searches[-1].labels == (1, 1, 0)
    person.clicks(middle(CACTUS))
    person.waits_until(lambda: len(driver.searches[-1].points) == 2)
    person.reads(POINTED)
    assert driver.searches[-1].points == (middle(BIG_APPLE), middle(BALL))
    person.paint("a lemon")
    edit = driver.edits[0]
    assert (edit.points, edit.labels, edit.target) == (driver.searches[-1].points, (1, 0), None)


def test_a_point_that_is_not_on_it_takes_away_from_what_was_found(person, driver):
    person.find("the cactus")
    person.reads("1 found. Number 1 will be repainted.")
    person.clicks((CACTUS[0] + 5, CACTUS[1] + 5), button="right")
    person.reads(POINTED)
    search = driver.searches[-1]
    assert (search.points, search.labels) == (((CACTUS[0] + 5, CACTUS[1] + 5),), (0,))
    assert search.box == (CACTUS[0], CACTUS[1], CACTUS[2] + 1, CACTUS[3] + 1)


def test_a_box_is_drawn_by_two_taps_of_a_finger(on_phone, driver):
    on_phone.takes("box")
    on_phone.touches([(205, 175)])
    on_phone.touches([(275, 325)])
    on_phone.reads(POINTED)
    assert np.abs(np.subtract(driver.searches[0].box, (205, 175, 275, 325))).max() <= 1
    on_phone.page.fill("#prompt", "a lemon")
    on_phone.page.click("#next")
    on_phone.sees_result()
    assert driver.edits[0].box == driver.searches[0].box


def test_a_box_is_drawn_by_dragging(person, driver):
    person.takes("box")
    person.draws([(275, 325), (205, 175)])
    person.reads(POINTED)
    assert np.abs(np.subtract(driver.searches[0].box, (205, 175, 275, 325))).max() <= 1


def test_places_are_right_after_zooming_and_moving(person, driver):
    person.page.mouse.move(*person.on_screen(middle(CACTUS)))
    person.page.keyboard.down("Control")
    person.page.mouse.wheel(0, -300)
    person.page.keyboard.up("Control")
    assert person.page.evaluate("visualViewport.scale") == 1
    person.takes("pan")
    person.draws([(240, 250), (225, 240)])
    person.takes("plus")
    person.clicks(middle(CACTUS))
    person.reads(POINTED)
    assert np.abs(np.subtract(driver.searches[0].points[0], middle(CACTUS))).max() <= 1
    person.page.click("#fit")
    person.clicks(middle(BALL))
    person.waits_until(lambda: len(driver.searches[-1].points) == 2)
    assert np.abs(np.subtract(driver.searches[-1].points[1], middle(BALL))).max() <= 1


@pytest.mark.parametrize("button", ["Use this place", "Point at it", "Draw a box"])
def test_what_is_not_found_can_be_shown_in_three_ways(person, driver, button):
    person.find("the owl")
    person.reads("Found no owl. Best guess here, 21 % sure.")
    expect(person.page.locator("#heat")).to_be_checked()
    person.presses(button)
    if button == "Point at it":
        person.clicks(middle(BALL))
    elif button == "Draw a box":
        person.clicks((355, 235))
        person.clicks((435, 315))
    person.reads(POINTED)
    search = driver.searches[-1]
    places = {"Use this place": ((10, 10),), "Point at it": (middle(BALL),), "Draw a box": ()}
    assert search.points == places[button]
    assert (search.box is not None) == (button == "Draw a box")


def test_an_edit_that_finds_nothing_shows_the_best_guess_too(person):
    person.page.fill("#target", "the owl")
    person.page.fill("#prompt", "a lemon")
    person.page.click("#paint")
    person.reads("Found no owl. Best guess here, 21 % sure.")
    expect(person.page.locator("#results")).to_be_hidden()


@pytest.mark.parametrize("ground", ["white", "black", "noise"])
def test_the_outline_shows_on_any_ground(visit, ground):
    """Across the edge of the chosen thing the screen has light and dark pixels that the ground alone has not."""
    image = scene((0, 0, 0) if ground == "black" else (255, 255, 255))
    if ground == "noise":
        pixels = np.asarray(image).copy()
        noise = np.random.default_rng(1).integers(0, 256, pixels.shape, dtype=np.uint8)
        free = (pixels == 255).all(axis=2)
        pixels[free] = noise[free]
        image = Image.fromarray(pixels)
    person = visit()
    person.choose(png(image))
    person.find("the cactus")
    person.reads("1 found. Number 1 will be repainted.")
    x, y = person.on_screen((CACTUS[0], middle(CACTUS)[1]))
    column = person.page.evaluate(
        """([x, y]) => {
            const canvas = document.getElementById("overlay");
            const { left, top } = canvas.getBoundingClientRect();
            const { data } = canvas.getContext("2d").getImageData(x - left - 8, y - top, 16, 1);
            return Array.from({ length: 16 }, (_, i) => Array.from(data.slice(4 * i, 4 * i + 4)));
        }""",
        [round(x), round(y)],
    )
    solid = [sum(pixel[:3]) / 3 for pixel in column if pixel[3] > 200]
    assert min(solid) < 60
    assert max(solid) > 195


def test_the_only_one_of_several_can_be_chosen(person, driver):
    """Words can mean all of them where there is one: the service must not add its own `all`."""
    person.find("both cactus")
    person.reads("1 found. Number 1 will be repainted.")
    person.page.locator("#stage").press("1")
    person.paint("a lemon")
    assert (driver.edits[0].candidate, driver.edits[0].all) == (0, False)


def test_a_search_is_given_up_when_its_points_are_taken_away(person, driver):
    driver.is_paused = True
    person.clicks(middle(BIG_APPLE))
    person.waits_until(lambda: driver.searches)
    person.page.click("#clear")
    expect(person.page.locator("#stop")).to_be_hidden()
    driver.is_paused = False
    person.page.wait_for_timeout(300)
    expect(person.page.locator("#notice")).to_be_hidden()


def test_other_words_take_away_what_was_found_and_undo_does_not_bring_it_back(person, driver):
    person.find("the apple")
    person.reads(FOUND_TWO)
    person.page.click("#options summary")
    person.page.fill("#avoid", "the ball")
    expect(candidates(person)).to_have_count(0)
    person.find("the cactus")
    person.reads("1 found. Number 1 will be repainted.")
    person.page.click("#undo")
    person.page.click("#undo")
    expect(candidates(person)).to_have_count(0)
    person.page.fill("#target", "the apple")
    person.page.click("#redo")
    expect(candidates(person)).to_have_count(0)


@pytest.mark.parametrize("size", [(480, 360), (300, 600)])
def test_on_a_phone_no_notice_covers_the_picture(on_phone, size):
    on_phone.choose(png(scene().resize(size)))
    on_phone.find("the owl")
    on_phone.reads(re.compile("Found no owl."))
    notice, picture = on_phone.page.locator("#notice"), on_phone.page.locator("#before")

    def is_clear():
        over, below = notice.bounding_box(), picture.bounding_box()
        return over["y"] + over["height"] <= below["y"]

    on_phone.waits_until(is_clear)
    stage, below = on_phone.page.locator("#stage").bounding_box(), picture.bounding_box()
    assert below["y"] + below["height"] < stage["y"] + stage["height"] - 50  # nor the buttons under it
