"""Serve's word on the stages: asked for at most once a second, and remembered while Serve cannot be asked."""

import asyncio
import threading

import pytest

from deployments.serving import health
from deployments.serving.health import Health
from deployments.serving.status import StageStatus

UP = {"sam": StageStatus(True, 1, None)}
DOWN = {"sam": StageStatus(False, 0, None)}


class Serve:
    """Gives its answers in turn, the last one for ever; raises those that are errors. `may_answer` holds it up."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def read(self):
        self.asked += 1
        self.may_answer.wait(10)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(health, "FRESH_S", 0.0)
    monkeypatch.setattr(health, "PATIENCE_S", 0.1)


async def test_many_probes_cost_one_question():
    serve = Serve(UP, DOWN)
    known = Health(serve.read)
    assert await asyncio.gather(*(known.stages() for _ in range(20))) == [UP] * 20
    assert await known.stages() == UP
    assert serve.asked == 1


async def test_an_old_answer_is_renewed(hurry):
    known = Health(Serve(UP, DOWN).read)
    assert await known.stages() == UP
    assert await known.stages() == DOWN


async def test_without_any_answer_nothing_is_known(hurry):
    assert await Health(Serve(RuntimeError("no controller")).read).stages() == {}


async def test_why_serve_cannot_be_asked_is_logged(hurry, caplog):
    await Health(Serve(RuntimeError("no controller")).read).stages()
    assert "cannot be asked" in caplog.text
    assert "no controller" in caplog.text


@pytest.mark.parametrize("lapse", [RuntimeError("no controller"), {}])
async def test_the_last_answer_stands_while_serve_has_none(hurry, lapse):
    known = Health(Serve(UP, lapse, DOWN).read)
    assert [await known.stages() for _ in range(3)] == [UP, UP, DOWN]


async def test_a_controller_that_does_not_answer_is_waited_for_once(hurry):
    serve = Serve(UP, DOWN)
    known = Health(serve.read)
    await known.stages()
    serve.may_answer.clear()
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert [await known.stages() for _ in range(50)] == [UP] * 50
    assert 0.1 <= loop.time() - start < 1
    assert serve.asked == 2
    serve.may_answer.set()
    await asyncio.sleep(0.2)
    assert await known.stages() == DOWN


async def test_a_probe_that_leaves_does_not_spoil_it_for_others(hurry):
    serve = Serve(UP)
    serve.may_answer.clear()
    known = Health(serve.read)
    leaving, staying = asyncio.create_task(known.stages()), asyncio.create_task(known.stages())
    await asyncio.sleep(0.01)
    leaving.cancel()
    serve.may_answer.set()
    assert await staying == UP
