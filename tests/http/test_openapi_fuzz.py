"""What the OpenAPI document allows, and what it forbids, is sent at random: each answer is one that the document has.

The same requests are sent each time. Where the document cannot state a rule, such as that points lie in the picture,
a request that it allows may be refused; and a form cannot tell a list of one text from the text.
"""

import base64
import io
from collections import Counter

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis.core.failures import FailureGroup, ServerError
from schemathesis.openapi.checks import UndefinedStatusCode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from deployments.config import DriverSettings
from deployments.errors import ServiceError, TargetNotFound
from deployments.http.api import build_api
from deployments.http.statuses import BY_ROUTE
from deployments.messages import Location


class Later:
    """A driver that is there once a test runs: the document has to be read before."""

    settings = DriverSettings()
    driver = None

    def __getattr__(self, name):
        return getattr(self.driver, name)


def png(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)).save(out, "PNG")
    return out.getvalue()


PICTURES = [png((64, 96, 3)), png((64, 96)), png((64, 96, 4)), png((64, 96, 3))[:200], b"GIF89a", b""]
schemathesis.openapi.format("binary", st.sampled_from(PICTURES) | st.binary(max_size=64))
ENOUGH = {
    "/v1/images/edits": {"prompt": "a lemon"},
    "/v1/locate": {"target": "the apple"},
    "/v1/score": {"text": "a lemon"},
}
DATA_URL = f"data:image/png;base64,{base64.b64encode(PICTURES[0]).decode()}"
later = Later()
document = schemathesis.openapi.from_asgi("/openapi.json", build_api(later))
statuses: Counter[tuple[str, int]] = Counter()


@pytest.fixture(autouse=True)
def _driver(driver, monkeypatch):
    monkeypatch.setattr(later, "driver", driver)


def every_answer_is_in_the_document(case):
    send(case)
    if isinstance(case.body, dict) and case.body:
        # A request with many fields is mostly refused for one of them.
        name = sorted(case.body)[len(str(case.body)) % len(case.body)]
        image = (
            {"images": [{"image_url": DATA_URL}]} if case.media_type == "application/json" else {"image": PICTURES[0]}
        )
        case.body = image | ENOUGH[case.operation.path] | {name: case.body[name]}
        send(case)


def test_of(operation):
    """Return the test of one operation."""

    @document.include(path=operation.path, method=operation.method).parametrize()
    @settings(
        max_examples=30,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
    )
    def test(case):
        every_answer_is_in_the_document(case)

    return test


test_of.__test__ = False
OPERATIONS = [found.ok() for found in document.get_all_operations()]
# Schemathesis gives all tests that it makes of one function the same id, and of those pytest-xdist runs only one.
for each in OPERATIONS:
    globals()[f"test_every_answer_is_in_the_document_{each.method}{each.path.replace('/', '_')}"] = test_of(each)


def send(case):
    answer = case.call()
    statuses[case.operation.path, int(answer.status_code)] += 1
    case.validate_response(answer, excluded_checks=[positive_data_acceptance, negative_data_rejection])


def test_edits_are_served_and_refused_among_them():
    """Otherwise nothing was tested."""
    if not statuses:
        pytest.skip("counts what the test above has sent")
    for path in ("/v1/images/edits", "/v1/locate", "/v1/score"):
        assert {200, 400, 415} <= {status for where, status in statuses if where == path}


def test_the_document_has_no_route_without_its_failures():
    paths = document.raw_schema["paths"]
    assert BY_ROUTE.keys() <= paths.keys()
    for operations in paths.values():
        for operation in operations.values():
            assert {"413", "500"} <= operation["responses"].keys()
            assert not {"4XX", "5XX", "default"} & operation["responses"].keys()


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (RuntimeError("nobody foresaw this"), ServerError),
        (ServiceError("Something went wrong."), ServerError),
        (TargetNotFound(Location("a", "a", (0, 0), 0.0, 0.0, False, None), (96, 64)), UndefinedStatusCode),
    ],
    ids=["500 unforeseen", "500 of our own", "422 of a route that seeks nothing"],
)
def test_what_the_document_does_not_have_is_found(driver, error, found):
    driver.failures = [error]
    body = {"image": PICTURES[0], "text": "a lemon"}
    case = document["/v1/score"]["POST"].Case(body=body, media_type="multipart/form-data")
    with pytest.raises(FailureGroup) as caught:
        case.call_and_validate()
    assert found in {type(failure) for failure in caught.value.exceptions}
