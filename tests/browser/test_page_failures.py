"""What the page says when something goes wrong, and what one can do then. It goes by codes, never by statuses."""

import re

import pytest
from playwright.sync_api import expect

from deployments.errors import (
    ContentFiltered,
    DeadlineExceeded,
    ImageTooLarge,
    InvalidImage,
    InvalidInput,
    ModelFailed,
    Overloaded,
    UnsupportedImage,
)
from deployments.messages import Readiness

HELD_BACK = "Held back by the safety check. Change the words."
TEXTS = [
    (UnsupportedImage("x", "image"), "This file cannot be read. Choose PNG, JPEG or WebP."),
    (InvalidImage("x", "image"), "This picture is damaged. Choose another one."),
    (ImageTooLarge("`image` must have at most 5 pixels.", "image"), "image must have at most 5 pixels."),
    (DeadlineExceeded("x"), "This took too long. Try lower quality."),
    (ContentFiltered((1,)), HELD_BACK),
    (InvalidInput("`candidate` must be less than 2.", "candidate"), "candidate must be less than 2."),
]


@pytest.fixture
def asks(person, driver):
    """Someone who has asked for an edit that ends in a failure."""

    def ask(failure):
        driver.failures.append(failure)
        person.page.fill("#target", "the cactus")
        person.page.fill("#prompt", "a lemon")
        person.page.click("#paint")
        return person

    return ask


def works_again(person):
    person.page.click("#paint")
    person.sees_result()


@pytest.mark.parametrize(("failure", "text"), TEXTS, ids=[failure.code for failure, _ in TEXTS])
def test_each_failure_has_its_words(asks, failure, text):
    person = asks(failure)
    person.reads(text)
    expect(person.page.locator("#alert")).to_have_text(text)
    expect(person.page.locator("#stop")).to_be_hidden()
    works_again(person)


def test_a_picture_that_has_become_too_large_can_be_made_smaller(person, driver):
    limits = driver.settings.limits.model_copy(update={"max_pixels": 100_000})
    driver.settings = driver.settings.model_copy(update={"limits": limits})
    person.find("the cactus")
    person.reads("0.2 megapixels; at most 0.1 are accepted.")
    person.presses("Make it smaller")
    person.reads("The picture is now 365 × 273 pixels.")
    person.find("the cactus")
    person.reads("1 found. Number 1 will be repainted.")


def test_a_failure_of_the_service_has_the_id_of_its_report(asks):
    person = asks(ModelFailed("The stage inpaint failed."))
    person.reads(re.compile(r"The stage inpaint failed\. Report id [0-9a-f]{32}"))
    person.presses("Try again")
    person.sees_result()


def test_a_field_at_fault_is_marked_and_shown(asks):
    person = asks(InvalidInput("`negative_prompt` must be shorter.", "negative_prompt"))
    field = person.page.locator("#negative_prompt")
    expect(field).to_be_visible()  # the drawer has opened
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(person.page.locator("#options-problem")).to_have_text("negative_prompt must be shorter.")
    field.fill("blur")
    expect(field).not_to_have_attribute("aria-invalid", "true")


def test_a_busy_service_is_asked_again(asks, driver):
    driver.failures.append(Overloaded(retry_after_s=0.3))
    person = asks(Overloaded(retry_after_s=0.4))
    person.reads("Busy. Trying again in 1 s.")
    person.sees_result()
    seeds = {edit.seed for edit in driver.edits}
    assert (len(driver.edits), len(seeds)) == (3, 1)


def test_waiting_for_a_busy_service_can_be_stopped(asks, driver):
    person = asks(Overloaded(retry_after_s=60))
    person.reads("Busy. Trying again in 60 s.")
    person.presses("Stop")
    person.reads("Stopped. Nothing has changed.")
    works_again(person)
    assert len(driver.edits) == 2


def test_models_that_are_still_starting_are_waited_for(visit, driver):
    driver.stages["inpaint"] = Readiness(False)
    person = visit()
    person.reads("The models are starting: inpaint. Trying again.")
    driver.stages["inpaint"] = Readiness(True)
    expect(person.page.locator("#notice")).to_be_hidden()


def test_the_service_goes_away_and_comes_back_and_the_work_is_kept(person, service, driver):
    person.takes("brush")
    person.clicks((100, 100))
    service.stop()
    person.page.fill("#prompt", "a lemon")
    person.page.click("#paint")
    person.reads("The service cannot be reached. Your work is kept.")
    service.start()
    person.reads("The service is back. Your work is kept.")
    person.presses("Try again")
    person.sees_result()
    assert driver.edits[0].mask[100, 100]


def test_a_failure_that_is_given_up_while_it_is_measured_says_nothing(person, driver):
    """The page asks for the limits after a picture was refused; meanwhile the next painting has begun."""
    limits = driver.settings.limits.model_copy(update={"max_pixels": 100_000})
    driver.settings = driver.settings.model_copy(update={"limits": limits})
    held = []
    person.page.route(person.url, lambda route: held.append(route))
    person.find("the cactus")
    person.waits_until(lambda: held)
    person.page.click("#stop")
    person.reads("Stopped. Nothing has changed.")
    held[0].continue_()
    person.page.wait_for_timeout(300)
    expect(person.page.locator("#notice")).not_to_have_class(re.compile("error"))
