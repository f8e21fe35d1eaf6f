"""Loading in a replica: its share of GPU memory, its line in the log, and no search for garbage among the libraries."""

import gc
import logging
import re

import pytest
import ray
import torch

from deployments.errors import SettingError
from deployments.serving.placement import limit_gpu_memory, loading


class Context:
    def __init__(self, share):
        self.share = share

    def get_actor_id(self):
        return None if self.share is None else "1"

    def get_assigned_resources(self):
        return {"CPU": 1.0} | ({"GPU": self.share} if self.share else {})


@pytest.mark.parametrize(("share", "limited"), [(0.7, [0.7]), (1.0, []), (2.0, []), (0, []), (None, [])])
def test_a_fraction_of_a_gpu_limits_memory(monkeypatch, share, limited):
    asked = []
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: Context(share))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)
    limit_gpu_memory()
    assert asked == limited


def test_without_a_gpu_or_ray_nothing_happens(monkeypatch):
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", pytest.fail)
    limit_gpu_memory()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    limit_gpu_memory()


@pytest.fixture
def log(caplog):
    """What a replica logs, also where Serve keeps its logger to itself since it has run in this process."""
    logger = logging.getLogger("ray.serve")
    before = logger.level, logger.propagate
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.setLevel(before[0])
    logger.propagate = before[1]


def test_a_model_that_cannot_be_loaded_is_one_plain_line_in_the_log(log):
    with pytest.raises(SettingError), loading("sam"):
        raise SettingError("sam.model", "there is no file 'x.pth' on this machine.")
    assert [record.getMessage() for record in log.records] == [
        "sam cannot start: sam.model: there is no file 'x.pth' on this machine."
    ]
    assert not log.records[0].exc_info


def test_a_model_that_is_loaded_is_one_line_with_its_seconds(log):
    with loading("sam") as imported:
        imported()
    (record,) = log.records
    assert re.fullmatch(r"sam is loaded after 0\.\d s: libraries 0\.\d s, model 0\.\d s\.", record.getMessage())


@pytest.mark.parametrize("in_replica", [True, False])
def test_only_a_replica_keeps_its_libraries_out_of_the_search_for_garbage(monkeypatch, in_replica):
    frozen = []
    monkeypatch.setattr(ray, "is_initialized", lambda: in_replica)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: Context(0))
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    with loading("sam"):
        assert not gc.isenabled()
    assert gc.isenabled()
    assert frozen == [True] * in_replica
