"""A peer's server answers as our own does, sleeps outside its turn and ends with the benchmark."""

import base64
import time

import psutil
import pytest

pytest.importorskip("litserve", reason="LitServe is not installed: `make bench` installs it")

from benchmarks.callers import Edit
from benchmarks.litserve_peer import MOST_PICTURES, batches
from benchmarks.peer_process import PeerOrder, peers
from benchmarks.stock import Repaint
from benchmarks.workload import cases
from deployments.config import GraphArgs
from deployments.limits import Limits
from deployments.pixels.files import decode

SOON_S = 30


@pytest.mark.parametrize("batch", [1, 8])
def test_a_peer_answers_each_picture_of_an_edit_and_is_gone_afterwards(batch):
    (case,) = cases(1)
    with peers({"one": PeerOrder(args=GraphArgs(), workers=1, threads=1, batch=batch)}) as servers:
        group = psutil.Process(servers["one"]._process.pid)
        processes = [group, *group.children(recursive=True)]
        until = time.monotonic() + SOON_S  # a signal reaches a process a moment later
        while {process.status() for process in processes} != {psutil.STATUS_STOPPED}:
            assert time.monotonic() < until, [process.status() for process in processes]
            time.sleep(0.05)
        with servers["one"].awake() as caller:
            answer = caller.send(Edit(case, 5, n=2)).json()
    pictures = [decode(base64.b64decode(each["b64_json"]), Limits()).pixels for each in answer["data"]]
    assert [picture.shape for picture in pictures] == [case.image.shape] * 2
    assert (pictures[0] != pictures[1]).any()
    assert all(-1 <= each["score"] <= 1 for each in answer["data"])
    assert not psutil.wait_procs(processes, SOON_S)[1]


def test_only_requests_of_equal_steps_and_guidance_share_a_batch_of_bounded_size():
    asked = [(30, 3.0, 8), (30, 3.0, 8), (10, 3.0, 1), (30, 3.0, 1), (30, 1.0, 1)]
    found = batches([Repaint(None, None, "", tuple(range(n)), steps, scale) for steps, scale, n in asked])
    assert found == [[0, 1], [3], [2], [4]]
    assert all(sum(asked[index][2] for index in batch) <= MOST_PICTURES for batch in found)
