"""A field of a request is declared once: its bounds, its words and the forms of both faces follow from that."""

from typing import get_args

import numpy as np
import pytest

from deployments.config import PaintingSettings, SchedulerName
from deployments.driver import rules
from deployments.driver.fields import declared, schemas, wanted
from deployments.errors import InvalidInput
from deployments.http.fields import EDIT_FORM, LOCATE_FORM, SCORE_FORM
from deployments.limits import Limits
from deployments.messages import EditRequest, FillMethod, LocateRequest, MaskShape, Scheduler, ScoreRequest

IMAGE = np.zeros((32, 32, 3), np.uint8)
LIMITS = Limits()
CHECKS = {EditRequest: rules.check_edit, LocateRequest: rules.check_locate, ScoreRequest: rules.check_score}
LEAST = {EditRequest: {"prompt": "x"}, LocateRequest: {"target": "x"}, ScoreRequest: {"text": "x"}}
FIELDS = [(request, name) for request in CHECKS for name in declared(request)]
BOUNDED = [
    (request, name, edge)
    for request, name in FIELDS
    for edge in ("minimum", "maximum")
    if edge in schemas(request, LIMITS)[name]
]

every_field = pytest.mark.parametrize(("request_", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))


def checked(request, **fields):
    return CHECKS[request](request(IMAGE, **{**LEAST[request], **fields}), LIMITS)


@every_field
def test_every_field_has_a_sentence_and_words_for_what_it_may_be(request_, name):
    schema = schemas(request_, LIMITS)[name]
    assert schema["description"].endswith(".")
    assert wanted(schema)
    assert None not in schema.values()


@every_field
def test_what_a_field_cannot_be_is_refused_in_its_words(request_, name):
    with pytest.raises(InvalidInput) as caught:
        checked(request_, **{name: object()})
    assert caught.value.message == f"`{name}` must be {wanted(schemas(request_, LIMITS)[name])}."
    assert caught.value.param == name


@pytest.mark.parametrize(("request_", "name", "edge"), BOUNDED, ids=str)
def test_a_bound_is_the_last_value_that_is_accepted(request_, name, edge):
    bound = schemas(request_, LIMITS)[name][edge]
    assert getattr(checked(request_, **{name: bound}), name) == bound
    beyond = bound + (1 if edge == "maximum" else -1)
    with pytest.raises(InvalidInput) as caught:
        checked(request_, **{name: beyond})
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("name", "key", "limit", "value"),
    [
        ("prompt", "maxLength", {"max_prompt_chars": 7}, 7),
        ("points", "maxItems", {"max_points": 7}, 7),
        ("n", "maximum", {"max_images": 7}, 7),
        ("seed", "maximum", {"max_images": 7}, 2**63 - 7),
        ("num_inference_steps", "maximum", {"max_inference_steps": 7}, 7),
        ("guidance_scale", "maximum", {"max_guidance_scale": 7}, 7),
    ],
)
def test_a_ceiling_is_the_operators_limit(name, key, limit, value):
    assert schemas(EditRequest, Limits(**limit))[name][key] == value


@pytest.mark.parametrize("form", [EDIT_FORM, LOCATE_FORM, SCORE_FORM])
def test_a_form_has_every_field_of_its_request_under_the_same_name(form):
    assert set(declared(form.REQUEST)) <= set(form.model_fields)
    undeclared = set(form.REQUEST.__dataclass_fields__) - set(declared(form.REQUEST))
    assert undeclared <= {"image", "mask", "param"}  # files, and what no caller sends


def test_settings_have_the_same_choices_as_requests():
    assert get_args(Scheduler) == get_args(SchedulerName)
    assert get_args(MaskShape) == get_args(PaintingSettings.model_fields["mask_shape"].annotation)
    assert get_args(FillMethod) == get_args(PaintingSettings.model_fields["fill_method"].annotation)
