"""A replica keeps to the share of GPU memory that Ray's fraction promises the others."""

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


def test_a_model_that_cannot_be_loaded_is_one_plain_line_in_the_log(caplog):
    with pytest.raises(SettingError), loading("sam"):
        raise SettingError("sam.model", "there is no file 'x.pth' on this machine.")
    assert [record.getMessage() for record in caplog.records] == [
        "sam cannot start: sam.model: there is no file 'x.pth' on this machine."
    ]
    assert not caplog.records[0].exc_info
