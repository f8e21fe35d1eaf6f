"""The brush and the eraser: what is drawn is what the driver gets."""

import numpy as np
from playwright.sync_api import expect

from tests.browser.pictures import BALL, BIG_APPLE, CACTUS, HEIGHT, WIDTH, middle

ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5


def line(a, b, size):
    """The pixels whose centres lie within half of `size` of the line from a to b: HxW bool."""
    (ax, ay), (bx, by) = a, b
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = ((COLUMNS - ax) * (bx - ax) + (ROWS - ay) * (by - ay)) / max(length, 1e-9)
    along = np.clip(along, 0, 1)
    return np.hypot(COLUMNS - ax - along * (bx - ax), ROWS - ay - along * (by - ay)) <= size / 2


def dab(pixel, size):
    """The pixels that a click on a pixel marks: HxW bool."""
    middle = pixel[0] + 0.5, pixel[1] + 0.5
    return line(middle, middle, size)


def same(mask, expected, slack=0.02):
    """Whether two masks differ in no more than a border of rounded pointer places."""
    return (mask ^ expected).sum() <= slack * expected.sum()


def test_brush_and_eraser_make_the_mask(person, driver):
    person.takes("brush")
    person.draws([(100, 200), (200, 220), (300, 200)])
    person.takes("eraser")
    person.draws([(200, 180), (200, 260)])
    person.paint("a lemon")
    drawn = line((100, 200), (200, 220), 40) | line((200, 220), (300, 200), 40)
    assert same(driver.edits[0].mask, drawn & ~line((200, 180), (200, 260), 40))
    assert driver.edits[0].target is None


def test_strokes_add_to_what_was_found_and_take_from_it(person, driver):
    person.find("the cactus")
    person.reads("1 found. Number 1 will be repainted.")
    person.takes("brush")
    person.clicks((300, 200))
    person.takes("eraser")
    person.clicks((CACTUS[0], CACTUS[1]))
    person.paint("a lemon")
    found = np.zeros((HEIGHT, WIDTH), bool)
    found[CACTUS[1] : CACTUS[3] + 1, CACTUS[0] : CACTUS[2] + 1] = True
    drawn = found | dab((300, 200), 40)
    assert same(driver.edits[0].mask, drawn & ~dab(CACTUS[:2], 40))


def test_undo_redo_and_clear_mend_every_slip(person, driver):
    person.takes("brush")
    person.clicks((100, 100))
    person.clicks((200, 200))
    person.page.click("#undo")
    person.page.click("#undo")
    person.page.click("#redo")
    person.paint("a lemon")
    assert same(driver.edits[0].mask, dab((100, 100), 40))
    person.page.keyboard.press("Control+z")  # the result
    person.page.locator("#stage").focus()
    person.page.keyboard.press("Control+z")  # the dab
    expect(person.page.locator("#clear")).to_have_attribute("aria-disabled", "true")
    person.page.keyboard.press("Control+Shift+z")
    expect(person.page.locator("#clear")).to_have_attribute("aria-disabled", "false")
    person.page.click("#clear")
    expect(person.page.locator("#clear")).to_have_attribute("aria-disabled", "true")
    person.page.click("#undo")
    expect(person.page.locator("#clear")).to_have_attribute("aria-disabled", "false")


def test_another_tool_keeps_the_strokes(person, driver):
    person.takes("brush")
    person.clicks((100, 100))
    for tool in ("eraser", "plus", "minus", "box", "pan", "brush"):
        person.takes(tool)
    person.paint("a lemon")
    assert same(driver.edits[0].mask, dab((100, 100), 40))


def test_shift_draws_a_straight_line_from_the_last_stroke(person, driver):
    person.takes("brush")
    person.clicks((100, 100))
    person.page.keyboard.down("Shift")
    person.clicks((300, 250))
    person.page.keyboard.up("Shift")
    person.paint("a lemon")
    assert same(driver.edits[0].mask, line((100.5, 100.5), (300.5, 250.5), 40))


def test_the_brush_has_a_size(person, driver):
    person.takes("brush")
    person.page.locator("#size").fill("100")
    person.clicks((240, 180))
    person.paint("a lemon")
    assert same(driver.edits[0].mask, dab((240, 180), 100))


def test_the_mask_is_right_at_the_edges_of_the_picture(person, driver):
    person.takes("brush")
    person.draws([(5, 5), (2, 355), (475, 357)])
    person.paint("a lemon")
    assert same(driver.edits[0].mask, line((5, 5), (2, 355), 40) | line((2, 355), (475, 357), 40))


def test_a_finger_draws_and_two_fingers_leave_no_mark(on_phone, driver):
    on_phone.takes("brush")
    before = on_phone.page.locator("#before").bounding_box()
    on_phone.touches([middle(BALL), middle(BIG_APPLE)], [(420, 300), (60, 60)], [(460, 330), (20, 20)])
    after = on_phone.page.locator("#before").bounding_box()
    assert after["width"] > 1.05 * before["width"]
    expect(on_phone.page.locator("#clear")).to_have_attribute("aria-disabled", "true")
    on_phone.page.click("#fit")
    on_phone.touches([(100, 200)], [(150, 210)], [(200, 200)])
    expect(on_phone.page.locator("#clear")).to_have_attribute("aria-disabled", "false")
    on_phone.page.fill("#prompt", "a lemon")
    on_phone.page.click("#next")
    on_phone.sees_result()
    drawn = line((100, 200), (150, 210), 40) | line((150, 210), (200, 200), 40)
    assert same(driver.edits[0].mask, drawn, slack=0.06)


def test_once_there_is_a_pen_fingers_only_move_the_picture(on_phone):
    on_phone.takes("brush")
    on_phone.page.locator("#stage").evaluate(
        """(stage) => {
            const { left, top } = stage.getBoundingClientRect();
            const at = { pointerType: "pen", pointerId: 77, clientX: left + 150, clientY: top + 150, bubbles: true };
            for (const name of ["pointerdown", "pointerup"]) stage.dispatchEvent(new PointerEvent(name, at));
        }"""
    )
    expect(on_phone.page.locator("#clear")).to_have_attribute("aria-disabled", "false")
    on_phone.page.click("#clear")
    before = on_phone.page.locator("#before").bounding_box()
    on_phone.touches([(100, 200)], [(150, 230)], [(200, 260)])
    expect(on_phone.page.locator("#clear")).to_have_attribute("aria-disabled", "true")
    assert on_phone.page.locator("#before").bounding_box()["x"] > before["x"] + 20


def test_a_region_can_be_removed(person, driver):
    person.takes("brush")
    person.clicks((100, 100))
    person.page.click("#remove")
    person.sees_result()
    edit = driver.edits[0]
    assert (edit.mode, edit.prompt, edit.seed, edit.n) == ("remove", "", None, 1)
    expect(person.page.locator("#verdict")).to_have_text("Less of it is left than before (−0.09).")
