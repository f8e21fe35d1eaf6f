"""The start of a graph as its program sees it: it waits, gives up with a reason, and takes down what it brought."""

from types import SimpleNamespace

import pytest
import ray

from deployments.errors import StartFailed
from deployments.launch import one_shot, session
from deployments.serving import status
from deployments.serving.status import GraphStatus, StageStatus

UP, STARTING = StageStatus(True, 1), StageStatus(False, 0)
FULL = StageStatus(False, 0, lacks="a replica needs a GPU")


@pytest.fixture
def story(monkeypatch):
    """Plays what Serve reports, one reading after the other; returns what the program was shown."""

    def play(*readings, given_up=None):
        left = list(readings)
        shown = []
        monkeypatch.setattr(status, "read_graph", lambda name: GraphStatus(left.pop(0), given_up if not left else None))
        monkeypatch.setattr(one_shot, "POLL_S", 0)
        one_shot.wait("app", shown.append)
        return shown

    return play


def test_it_waits_until_all_run(story):
    readings = ({}, {"clip": STARTING, "sam": FULL}, {"clip": UP, "sam": FULL}, {"clip": UP, "sam": UP})
    assert story(*readings) == list(readings)


@pytest.mark.parametrize(
    ("readings", "given_up", "sentences"),
    [
        (
            [
                {
                    "clip": StageStatus(False, 0, "RuntimeError: no memory"),
                    "sam": StageStatus(False, 0, "sam.model: no."),
                }
            ],
            None,
            ("clip cannot start: RuntimeError: no memory", "sam.model: no."),
        ),
        ([{"clip": STARTING}, {}], None, ("the graph cannot start: somebody deleted it",)),
        ([{}], "it has no code", ("the graph cannot start: it has no code",)),
    ],
)
def test_it_gives_up_with_every_reason(story, readings, given_up, sentences):
    with pytest.raises(StartFailed) as caught:
        story(*readings, given_up=given_up)
    assert caught.value.sentences == sentences


class Serve:
    """Serve on somebody's cluster: which applications it has, and what was done to it."""

    def __init__(self, *applications, delete=None):
        self.applications = set(applications)
        self.failure = delete
        self.ended = False

    def delete(self, name):
        if self.failure:
            raise self.failure
        self.applications.discard(name)

    def status(self):
        return SimpleNamespace(applications=dict.fromkeys(self.applications))

    def shutdown(self):
        self.ended = True


@pytest.mark.parametrize(
    ("others", "ran_before", "ends"), [((), False, True), ((), True, False), (("another",), False, False)]
)
def test_serve_ends_only_if_it_was_brought_and_nobody_else_uses_it(monkeypatch, others, ran_before, ends):
    serve = Serve("ours", *others)
    monkeypatch.setattr(one_shot, "serve", serve)
    one_shot._take_down("ours", also_serve=not ran_before)
    assert serve.applications == set(others)
    assert serve.ended is ends


def test_serve_ends_although_deleting_the_application_failed(monkeypatch):
    serve = Serve("ours", delete=TimeoutError())
    monkeypatch.setattr(one_shot, "serve", serve)
    with pytest.raises(TimeoutError):
        one_shot._take_down("ours", also_serve=True)
    assert serve.ended


@pytest.mark.parametrize(("address", "joins"), [("", False), ("local", False), ("10.0.0.1:6379", True), ("auto", True)])
def test_which_address_is_a_cluster(monkeypatch, address, joins):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert session.joins_a_cluster() is joins
