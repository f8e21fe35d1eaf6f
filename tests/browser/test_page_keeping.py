"""Nothing is lost by a reload, and everything can be forgotten."""

import numpy as np
from PIL import Image
from playwright.sync_api import expect

from tests.browser.pictures import CACTUS, SMALL_APPLE, middle, png

KEPT = """async () => {
    const settled = (request) => new Promise((done) => { request.onsuccess = () => done(request.result); });
    const database = await settled(indexedDB.open("retouch"));
    const table = (name) => database.transaction(name).objectStore(name);
    const sessions = await settled(table("sessions").getAll());
    const entries = await settled(table("entries").getAllKeys());
    database.close();
    const [{ target, prompt, strokes, resultId, view } = {}] = sessions;
    return { target, prompt, strokes: strokes?.length, resultId, view, entries };
}"""

# What the browser has kept comes when the test lets it.
HELD_BACK = """
const { getAll } = IDBObjectStore.prototype;
window.held = [];
IDBObjectStore.prototype.getAll = function (...given) {
    const request = getAll.apply(this, given);
    const answer = {};
    request.onsuccess = () => window.held.push(() => {
        answer.result = request.result;
        answer.onsuccess();
    });
    return answer;
};
"""


def waits_until_kept(person, **expected):
    """Wait until the browser keeps these values of the tab, and the entry of the result where there is one."""

    def is_kept():
        kept = person.page.evaluate(KEPT)
        whole = kept["resultId"] in (None, *kept["entries"])
        return whole and all(kept[name] == value for name, value in expected.items())

    person.waits_until(is_kept)


def reload(person, **expected):
    waits_until_kept(person, **expected)
    person.page.reload()
    person.page.wait_for_selector("body.ready")
    person.sees_picture()


def test_a_reload_restores_everything(person, driver):
    person.page.click("#options summary")
    person.page.fill("#seed", "7")
    person.find("the apple")
    person.reads("2 found. Number 1 will be repainted.")
    person.clicks(middle(SMALL_APPLE))
    person.takes("brush")
    person.clicks((100, 300))
    person.page.fill("#prompt", "a lemon")
    reload(person, target="the apple", prompt="a lemon", strokes=1)
    expect(person.page.locator("#target")).to_have_value("the apple")
    expect(person.page.locator("#prompt")).to_have_value("a lemon")
    expect(person.page.locator("#seed")).to_have_value("7")
    expect(person.page.locator("input[name=tool][value=brush]")).to_be_checked()
    expect(person.page.locator("input[name=candidate]").nth(1)).to_be_checked()
    person.page.click("#paint")
    person.sees_result()
    mask = driver.edits[0].mask
    assert mask[300, 100]
    assert mask[middle(SMALL_APPLE)[::-1]]
    assert driver.edits[0].seed == 7
    reload(person, view="result")
    expect(person.page.locator("#after")).to_be_visible()
    expect(person.page.locator("#verdict")).to_have_text("Matches better than before (+0.09).")


def test_the_history_brings_back_picture_words_and_result(person, driver):
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    person.page.click("#continue")
    person.page.fill("#target", "the apple")
    person.paint("a pear")
    reload(person, prompt="a pear", view="result")
    entries = person.page.locator("#history-list button")
    expect(entries).to_have_text(["the apple → a pear", "the cactus → a lemon"])
    entries.nth(1).click()
    expect(person.page.locator("#prompt")).to_have_value("a lemon")
    expect(person.page.locator("#seed")).to_have_value(str(driver.edits[0].seed))
    expect(entries.nth(1)).to_have_attribute("aria-current", "true")
    person.page.click("#again")
    expect(entries).to_have_count(3)
    np.testing.assert_array_equal(driver.edits[2].image, driver.edits[0].image)
    assert (driver.edits[2].target, driver.edits[2].prompt) == ("the cactus", "a lemon")


def test_all_can_be_forgotten(person):
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    waits_until_kept(person, view="result")
    person.page.click("#forget")
    expect(person.page.locator("#history")).to_be_hidden()
    person.waits_until(lambda: person.page.evaluate(KEPT)["entries"] == [])
    reload(person, prompt="a lemon")
    expect(person.page.locator("#history")).to_be_hidden()
    expect(person.page.locator("#results")).to_be_hidden()


def test_another_tab_begins_empty_but_has_the_history(person):
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    waits_until_kept(person, view="result")
    other = person.page.context.new_page()
    other.goto(person.url)
    expect(other.locator("#history-list li")).to_have_count(1)
    expect(other.locator("#empty")).to_be_visible()
    other.locator("#history-list button").click()
    expect(other.locator("#after")).to_be_visible()


def test_without_a_place_to_keep_anything_the_page_still_works(visit, driver):
    person = visit()
    person.page.add_init_script(
        """for (const name of ["indexedDB", "localStorage", "sessionStorage"])
            Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });"""
    )
    person.arrive()
    person.page.click("#sample")
    person.sees_picture()
    person.takes("brush")
    person.clicks(middle(CACTUS))
    person.paint("a lemon")
    assert len(driver.edits) == 1


def test_a_picture_that_is_chosen_while_the_kept_work_is_loaded_stays(person):
    person.page.fill("#target", "the cactus")
    person.paint("a lemon")
    waits_until_kept(person, view="result")
    person.page.add_init_script(HELD_BACK)
    person.page.reload()
    person.waits_until(lambda: person.page.evaluate("window.held?.length === 2"))
    person.choose(png(Image.new("RGB", (300, 300), "white")), "other.png")
    person.page.evaluate("window.held.forEach((go) => go())")
    person.page.wait_for_selector("body.ready")
    expect(person.page.locator("#history-list li")).to_have_count(1)
    expect(person.page.locator("#before")).to_have_js_property("naturalWidth", 300)
    expect(person.page.locator("#results")).to_be_hidden()
