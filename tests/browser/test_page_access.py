"""The page for all people: by keyboard, by screen reader, on any screen, in both colour schemes."""

from importlib.resources import files

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.pictures import CACTUS, png, scene

AXE = files("axe_playwright_python").joinpath("axe.min.js")


@pytest.fixture(scope="session")
def axe():
    return AXE.read_text(encoding="utf-8")


def severe(person, axe):
    """What axe finds that keeps people out, each with where it is."""
    person.page.evaluate(axe)  # not by a script tag, which the page's policy refuses
    answer = person.page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        (violation["id"], node["target"], node["failureSummary"])
        for violation in answer["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_severe_in_any_state(visit, driver, axe, viewport, scheme):
    person = visit(viewport=viewport, color_scheme=scheme)
    found = {"empty": severe(person, axe)}
    person.choose(png(scene()))
    person.takes("brush")
    person.page.evaluate("document.getElementById('options').open = true")
    person.find("the apple")
    person.reads("2 found. Number 1 will be repainted.")
    found["found"] = severe(person, axe)
    driver.is_paused = True
    person.page.fill("#prompt", "a lemon")
    person.page.click("#paint")
    expect(person.page.locator("#stop")).to_be_visible()
    found["painting"] = severe(person, axe)
    driver.is_paused = False
    person.sees_result()
    found["result"] = severe(person, axe)
    person.page.click("#copy-curl")
    found["snippet"] = severe(person, axe)
    person.page.keyboard.press("Escape")
    person.find("the owl")
    person.reads("Found no owl. Best guess here, 21 % sure.")
    found["not found"] = severe(person, axe)
    person.page.fill("#target", "")
    person.page.click("#find")
    found["error"] = severe(person, axe)
    person.page.click("#keys-button")
    found["keys"] = severe(person, axe)
    person.page.goto(person.url + "docs")
    expect(person.page.locator("#operations section").first).to_be_visible()
    found["documentation"] = severe(person, axe)
    assert {state: severities for state, severities in found.items() if severities} == {}


def test_keys_do_nothing_behind_a_dialog(person, driver):
    person.page.fill("#target", "the cactus")
    person.page.click("#keys-button")
    person.page.keyboard.press("Control+Enter")
    person.page.keyboard.press("Escape")
    expect(person.page.locator("#keys")).to_be_hidden()
    person.page.wait_for_timeout(200)
    assert driver.requests == []


def test_the_documentation_has_the_header_that_makes_a_request_repeatable(visit):
    person = visit()
    person.page.goto(person.url + "docs")
    expect(person.page.locator("#operations dt", has_text="Idempotency-Key")).to_have_count(1)


def test_a_whole_edit_works_by_keyboard_alone(visit, driver):
    person = visit()
    keys = person.page.keyboard
    focused = "document.activeElement.id"

    def tab_to(name):
        for _ in range(40):
            if person.page.evaluate(focused) == name:
                return
            keys.press("Tab")
        raise AssertionError(f"Tab never reaches {name}")

    tab_to("sample")
    keys.press("Enter")
    person.sees_picture()
    person.choose(png(scene()))
    person.page.evaluate("document.activeElement.blur()")
    tab_to("target")
    keys.type("the apple")
    keys.press("Enter")
    person.reads("2 found. Number 1 will be repainted.")
    keys.press("Tab")
    keys.press("Tab")
    keys.press("ArrowDown")
    expect(person.page.locator("input[name=candidate]").nth(1)).to_be_checked()
    tab_to("stage")
    keys.press("1")
    expect(person.page.locator("input[name=candidate]").nth(0)).to_be_checked()
    tab_to("prompt")
    keys.type("a lemon")
    keys.press("Control+Enter")
    person.sees_result()
    assert (driver.edits[0].target, driver.edits[0].candidate) == ("the apple", 0)
    tab_to("compare")
    keys.press("Home")
    expect(person.page.locator("#compare")).to_have_value("0")
    tab_to("download")


def test_points_and_strokes_are_set_by_keyboard(person, driver):
    person.page.locator("#stage").focus()
    keys = person.page.keyboard
    keys.press("ArrowRight")
    expect(person.page.locator("#status")).to_have_text("242 across, 180 down")
    for _ in range(3):
        keys.press("Shift+ArrowDown")
    keys.press("Enter")
    person.reads("Cut out where you pointed.")
    assert driver.searches[0].points == ((242, 240),)
    keys.press("b")
    expect(person.page.locator("input[name=tool][value=brush]")).to_be_checked()
    keys.press("]")
    keys.press("Enter")
    person.page.fill("#prompt", "brush e 1")  # letters that are typed choose no tool
    expect(person.page.locator("input[name=tool][value=brush]")).to_be_checked()
    person.page.click("#paint")
    person.sees_result()
    assert driver.edits[0].mask[240, 242 - 23]
    assert driver.edits[0].mask[CACTUS[1] + 2, CACTUS[0] + 2]


def test_the_colours_follow_the_system_and_the_switch(visit):
    person = visit(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = person.page.evaluate(ground)
    switch = person.page.locator("#theme")
    expect(switch).to_have_accessible_name("Colours: system")
    switch.click()
    expect(switch).to_have_accessible_name("Colours: light")
    assert person.page.evaluate(ground) != dark
    person.page.reload()
    expect(switch).to_have_accessible_name("Colours: light")
    switch.click()
    assert person.page.evaluate(ground) == dark


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_cut_off_at_the_side(visit, width):
    person = visit(viewport={"width": width, "height": 800})
    person.choose(png(scene()))
    person.find("the apple")
    person.reads("2 found. Number 1 will be repainted.")
    person.paint("a lemon")
    assert person.page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("#next", "#theme", "#undo", "#fit", "input[value=pan]"):
        box = person.page.locator(name).bounding_box()
        if box is not None:
            assert box["x"] >= 0, name
            assert box["x"] + box["width"] <= width, name
