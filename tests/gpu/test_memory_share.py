"""A process keeps to its share of the GPU's memory, and goes on working when it has asked for more."""

from dataclasses import replace

import pytest
import torch

from deployments.serving.placement import take_share

pytestmark = pytest.mark.gpu

SHARE = 0.05


@pytest.fixture
def share(on_gpu):
    """SHARE of the memory for the time of a test, with nothing kept back from before; how many bytes that is."""
    torch.cuda.empty_cache()
    take_share(SHARE)
    yield int(SHARE * torch.cuda.get_device_properties(0).total_memory)
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_more_than_the_share_is_refused_and_less_is_not(share):
    held = torch.empty(share // 2, dtype=torch.uint8, device="cuda")
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(share, dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_reserved() <= share
    assert float(held.fill_(1)[-1]) == 1


def test_the_engine_paints_on_after_a_request_that_does_not_fit(share, request_, new_engine):
    engine = new_engine()
    engine.submit(request_).future.result(300)
    torch.cuda.empty_cache()
    size = share - torch.cuda.memory_reserved() - 2**21
    filling = torch.empty(size, dtype=torch.uint8, device="cuda")
    large = replace(request_, model_px=4 * engine.model.native_px, seeds=tuple(range(8)))
    with pytest.raises(torch.OutOfMemoryError):
        engine.submit(large).future.result(300)
    del filling
    assert engine.submit(request_).future.result(300).images
