"""OpenVINO under the UNet: prepared in the background, kept on disk, compared with torch, silent to its maker."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
import torch

from deployments.config import InpaintArgs, InpaintSettings
from deployments.errors import SettingError
from deployments.inpaint import executions as executions_module
from deployments.inpaint import openvino_unet
from deployments.inpaint.denoiser import Denoiser
from deployments.inpaint.engine import InpaintEngine
from deployments.inpaint.executions import Executions, settled
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.openvino_unet import ALONE, CHUNKS, OpenvinoUNet, Size
from deployments.serving.openvino import build, module, runtime
from deployments.serving.openvino.store import Store

WAIT_S = 300  # compiling has a low priority, and other tests may keep the cores busy

pytestmark = pytest.mark.skipif(not runtime.installed(), reason="OpenVINO is not installed")


class Plain(torch.nn.Module):
    """Stands where a UNet stands, and is as quick to compile as can be."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(9, 4, 3, padding=1)

    def forward(self, channels, timesteps, text):
        return self.convolution(channels) * timesteps[:, None, None, None] + text.mean((1, 2))[:, None, None, None]


class Config(dict):
    sample_size, in_channels, cross_attention_dim = 8, 9, 6


@pytest.fixture
def built_here(monkeypatch):
    """Builds in this process, since another one cannot import a test's classes; counts the builds."""
    jobs = []

    def run(job, started):
        jobs.append(job)
        build.build(job)

    monkeypatch.setattr(module, "run", run)
    return jobs


@pytest.fixture
def new_unet(tmp_path, built_here):
    def make(plain=None, precision="float32", config=None, streams=2):
        return OpenvinoUNet(plain or Plain().eval(), config or Config(), precision, streams, Store(tmp_path))

    return make


NATIVE, OTHER = Size(8, 8, 5), Size(8, 12, 5)


def inputs(rows, size=NATIVE):
    generator = torch.Generator().manual_seed(rows)
    shapes = ((rows, 9, size.height, size.width), (rows,), (rows, size.tokens, 6))
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("size", [NATIVE, OTHER])
@pytest.mark.parametrize("rows", [1, 3, 8, 13, 70])
def test_any_number_of_rows_of_any_size_is_computed(new_unet, rows, size):
    unet, given = new_unet(), inputs(rows, size)
    with torch.inference_mode():
        torch.testing.assert_close(unet(*given), Plain()(*given))


def test_a_second_process_finds_what_the_first_has_made(new_unet, built_here):
    for _ in range(2):
        unet = new_unet()
        assert not unet.ready(NATIVE)
        unet.prepare(NATIVE)
        assert unet.ready(NATIVE)
    assert not unet.ready(OTHER)
    assert len(built_here) == 1


def changed_weights():
    plain = Plain().eval()
    with torch.no_grad():
        plain.convolution.bias[0] += 1
    return {"plain": plain}


@pytest.mark.parametrize(
    "change",
    [changed_weights, lambda: {"precision": "bfloat16"}, lambda: {"config": Config(norm_num_groups=2)}],
    ids=["weights", "precision", "config"],
)
def test_what_was_compiled_of_another_model_is_not_taken(new_unet, change, built_here):
    new_unet().prepare(NATIVE)
    new_unet(**change()).prepare(NATIVE)
    assert [len(job.wanted) for job in built_here] == [len(CHUNKS)] * 2


def test_another_version_of_openvino_compiles_anew(new_unet, monkeypatch, built_here):
    new_unet().prepare(NATIVE)
    monkeypatch.setattr(runtime, "machine", lambda: "another")
    new_unet().prepare(NATIVE)
    assert [len(job.wanted) for job in built_here] == [len(CHUNKS)] * 2


def test_a_damaged_entry_is_built_anew(new_unet, built_here, tmp_path):
    new_unet().prepare(NATIVE)
    damaged = next(tmp_path.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-9])
    new_unet().prepare(NATIVE)
    assert [len(job.wanted) for job in built_here] == [len(CHUNKS), 1]


def test_a_large_unet_is_compiled_for_one_row_alone(new_unet, monkeypatch, built_here):
    monkeypatch.setattr(openvino_unet, "MOST_BYTES", 1000)
    unet = new_unet()
    unet.prepare(NATIVE)
    assert len(built_here[0].wanted) == 1
    given = inputs(3)
    with torch.inference_mode():
        torch.testing.assert_close(unet(*given), Plain()(*given))


def test_of_many_sizes_those_prepared_last_stay(new_unet):
    unet = new_unet()
    sizes = [Size(8, width, 5) for width in range(9, 9 + openvino_unet.MOST_OTHER_SIZES + 2)]
    for size in (NATIVE, *sizes):
        unet.prepare(size)
    assert [size for size in sizes if unet.ready(size)] == sizes[2:]
    assert unet.ready(NATIVE)
    assert unet(*inputs(1, sizes[0])).shape == (1, 4, 8, 9)  # it comes again, and is prepared again


def test_where_company_changes_a_row_each_is_computed_alone(new_unet, monkeypatch, caplog):
    call = module.CompiledModule.__call__

    def wrong_in_company(self, *given):
        return call(self, *given) + 1e-6 * (len(given[0]) > 1)

    monkeypatch.setattr(module.CompiledModule, "__call__", wrong_in_company)
    unet = new_unet()
    unet.prepare(NATIVE)
    assert unet._chunks[NATIVE] == ALONE
    assert "alone" in caplog.text


@pytest.mark.parametrize("wrong", [lambda made: made * 1.01, lambda made: made * float("nan")])
def test_what_does_not_compute_the_model_is_not_taken(new_unet, monkeypatch, wrong):
    call = module.CompiledModule.__call__
    monkeypatch.setattr(module.CompiledModule, "__call__", lambda self, *given: wrong(call(self, *given)))
    with pytest.raises(RuntimeError, match="not the model's own"):
        new_unet().prepare(NATIVE)


# The engine


@pytest.fixture
def new_auto_engine(pipeline):
    """Starts engines that begin traced and go on with OpenVINO; with the function that waits for that."""
    engines = []

    def start(on_ready=lambda: None, **args):
        ready = threading.Event()
        adopt = InpaintEngine._adopt

        class Watched(InpaintEngine):
            def _adopt(self, denoiser):
                on_ready()
                adopt(self, denoiser)
                ready.set()

        model = InpaintModel(pipeline)
        engines.append(Watched(model, InpaintArgs(row_threads=1, **args), InpaintSettings(max_rows=16)))
        return engines[-1], ready

    yield start
    for engine in engines:
        engine.close()


def paint(engine, request):
    return engine.submit(request).future.result(WAIT_S)


@pytest.fixture
def followed_by_openvino(monkeypatch):
    monkeypatch.setattr(runtime, "preferred", runtime.installed)


def test_the_start_waits_for_nothing_and_openvino_paints_once_it_is_ready(
    new_auto_engine, request_, followed_by_openvino
):
    may_go_on = threading.Event()
    engine, ready = new_auto_engine(on_ready=lambda: may_go_on.wait(WAIT_S), precision="float32")
    first = paint(engine, request_)
    assert (first.execution, first.precision) == ("traced", "float32")
    may_go_on.set()
    assert ready.wait(WAIT_S)
    while (painted := paint(engine, request_)).execution == "traced":
        pass
    assert (painted.execution, painted.precision) == ("openvino", "float32")
    assert np.abs(painted.images[0].astype(int) - first.images[0]).max() <= 1
    assert np.array_equal(paint(engine, replace(request_, seeds=(7, 8, 9))).images[0][0], painted.images[0][0])


def test_a_request_is_painted_to_its_end_as_it_was_begun(new_auto_engine, request_, followed_by_openvino, monkeypatch):
    used = {}
    call = Denoiser.__call__

    def noted(self, channels, timesteps, text):
        used.setdefault(self.execution, 0)
        used[self.execution] += 1
        return call(self, channels, timesteps, text)

    started, may_go_on = threading.Event(), threading.Event()
    engine, ready = new_auto_engine(on_ready=lambda: may_go_on.wait(WAIT_S), precision="float32")
    monkeypatch.setattr(Denoiser, "__call__", noted)
    steps = 400
    job = engine.submit(
        request_.with_options(num_inference_steps=steps, scheduler="ddim"), on_progress=lambda _: started.set()
    )
    assert started.wait(WAIT_S)
    may_go_on.set()
    assert ready.wait(WAIT_S)
    while paint(engine, request_.with_options(num_inference_steps=1)).execution == "traced":
        pass
    assert not job.future.done()
    assert job.future.result(WAIT_S).execution == "traced"
    assert used["traced"] >= steps
    assert used["openvino"] >= 1


def test_an_engine_that_asks_for_openvino_starts_with_it(pipeline, new_engine, request_):
    engine = new_engine(execution="openvino", precision="bfloat16")
    painted = paint(engine, request_)
    assert (painted.execution, painted.precision) == ("openvino", "bfloat16")
    assert paint(engine, replace(request_, model_px=40)).execution == "openvino"


def test_what_openvino_cannot_run_goes_on_without_it(
    new_auto_engine, request_, followed_by_openvino, monkeypatch, caplog
):
    tried = threading.Event()

    def fails(self, size, niceness):
        tried.set()
        raise RuntimeError("no such operator")

    monkeypatch.setattr(OpenvinoUNet, "prepare", fails)
    engine, _ = new_auto_engine()
    assert tried.wait(WAIT_S)
    engine._executions._thread.join(WAIT_S)
    assert "goes on without OpenVINO" in caplog.text
    assert paint(engine, request_).execution == "traced"


def test_where_memory_is_short_nothing_is_compiled(
    new_auto_engine, request_, followed_by_openvino, monkeypatch, caplog
):
    monkeypatch.setattr(openvino_unet, "available_bytes", lambda: 1000)
    engine, _ = new_auto_engine()
    engine._executions._thread.join(WAIT_S)
    assert "too little memory" in caplog.text
    assert paint(engine, request_).execution == "traced"


def test_an_engine_that_closes_ends_the_build(new_auto_engine, followed_by_openvino, monkeypatch, tmp_path):
    monkeypatch.setenv("RETOUCH_CACHE_DIR", str(tmp_path))
    begun = threading.Event()
    started = module.CompiledModule._started

    def noted(self, process):
        started(self, process)
        begun.process = process
        begun.set()

    monkeypatch.setattr(module.CompiledModule, "_started", noted)
    engine, _ = new_auto_engine()
    assert begun.wait(WAIT_S)
    engine.close()
    assert begun.process.returncode != 0


def test_a_build_that_somebody_waits_for_does_not_stand_back_and_one_in_the_background_does(
    pipeline, followed_by_openvino, monkeypatch, tmp_path
):
    monkeypatch.setenv("RETOUCH_CACHE_DIR", str(tmp_path))  # nothing is there yet
    built = SimpleQueue()

    def refuse(job, started):
        built.put(job.niceness)
        raise RuntimeError("this is not to be built")

    monkeypatch.setattr(module, "run", refuse)
    with pytest.raises(RuntimeError, match="not to be built"):
        Executions(pipeline.unet, InpaintArgs(device="cpu", execution="openvino"), 77)
    assert built.get(timeout=WAIT_S) == 0
    executions = Executions(pipeline.unet, InpaintArgs(device="cpu"), 77)
    executions.follow(pytest.fail)
    assert built.get(timeout=WAIT_S) == build.BACKGROUND
    executions.close()


def test_a_build_takes_the_niceness_that_it_was_given(tmp_path, monkeypatch):
    torch.save(build.Compilation(torch.nn.Linear(2, 2), {}, {}, tmp_path, niceness=7), tmp_path / "job.pt")
    taken = []
    monkeypatch.setattr(build.os, "nice", taken.append)
    with (tmp_path / "job.pt").open("rb") as written:
        build.main(written)
    assert taken == [7]


def test_a_build_whose_parent_is_gone_keeps_what_is_finished(tmp_path, monkeypatch):
    job = build.Compilation(
        torch.nn.Linear(2, 2), {f"{rows}": ((rows, 2),) for rows in (1, 2, 3)}, {}, tmp_path / "cache"
    )
    torch.save(job, tmp_path / "job.pt")
    parents = iter([1, 1, 1, 99])  # when it starts, and before each of the three
    monkeypatch.setattr(build.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(build.os, "nice", lambda _: None)
    with (tmp_path / "job.pt").open("rb") as written:
        build.main(written)
    store = Store(tmp_path / "cache")
    assert [store.find(key) is not None for key in job.wanted] == [True, True, False]


def test_what_is_measured_paints_in_one_execution(followed_by_openvino):
    args = InpaintArgs(device="cpu")
    assert settled(args).execution == "openvino"
    for given in (InpaintArgs(device="cpu", execution="eager"), InpaintArgs(device="cpu", dtype="bfloat16")):
        assert settled(given) == given


def test_a_build_that_fails_says_why(tmp_path):
    job = build.Compilation(torch.nn.Linear(2, 2), {"key": ((1, 3),)}, {}, tmp_path)
    with pytest.raises(RuntimeError, match=r"could not be compiled for OpenVINO: .*same reduction dim"):
        build.run(job)


@pytest.mark.parametrize("execution", ["eager", "traced", "compiled"])
def test_a_precision_is_refused_where_nothing_would_heed_it(pipeline, execution):
    with pytest.raises(SettingError, match=r"inpaint\.precision: .*set that instead"):
        Executions(pipeline.unet, InpaintArgs(execution=execution, precision="bfloat16"), 77)


@pytest.mark.parametrize("args", [{"execution": "openvino"}, {"precision": "float32"}])
def test_without_openvino_what_needs_it_is_refused_and_the_rest_works(pipeline, monkeypatch, args):
    monkeypatch.setattr(executions_module.runtime, "installed", lambda: False)
    with pytest.raises(SettingError, match="not installed"):
        Executions(pipeline.unet, InpaintArgs(**args), 77)
    executions = Executions(pipeline.unet, InpaintArgs(), 77)
    executions.follow(pytest.fail)
    assert executions.for_size(16, 16).execution == "traced"
    executions.close()


def test_half_precision_weights_are_refused(new_pipeline):
    unet = new_pipeline().unet.to(torch.bfloat16)
    with pytest.raises(SettingError, match="needs dtype 'float32'"):
        Executions(unet, InpaintArgs(execution="openvino"), 77)


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("avx512f amx_bf16 avx512_bf16 amx_tile", "bfloat16"), ("avx512f avx512_bf16", "float32"), (None, "float32")],
)
def test_bfloat16_is_taken_where_the_cpu_has_matrix_units_for_it(tmp_path, flags, precision):
    if flags:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags} flush_l1d\n")
    assert runtime.native_precision(tmp_path / "cpuinfo") == precision


# Telemetry

SPY = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
raise ImportError("this is the spy")
"""
OURS = """
from deployments.serving.openvino import build, runtime
import sys, torch
build.convert(torch.nn.Linear(2, 2), [(1, 2)])
runtime.core()
assert sys.modules["openvino_telemetry"] is None
"""


@pytest.mark.parametrize(("program", "reports"), [(OURS, False), ("import openvino", True)], ids=["ours", "plain"])
def test_openvino_never_reaches_its_telemetry(tmp_path, program, reports):
    """A package of that name lies first on the path, and notes that it was imported: as a plain `import` would."""
    spy = tmp_path / "path" / "openvino_telemetry"
    spy.mkdir(parents=True)
    (spy / "__init__.py").write_text(SPY)
    (tmp_path / "home").mkdir()
    path = os.pathsep.join([str(spy.parent), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=environment, check=True)
    assert (spy / "imported").exists() == reports
    assert not list((tmp_path / "home").iterdir())


def test_nobody_imports_openvino_but_the_one_place_that_silences_it():
    root = Path(runtime.__file__).parents[3]
    folders = [root / name for name in ("deployments", "benchmarks", "pocket")]
    importing = [
        path.name
        for folder in folders
        for path in folder.rglob("*.py")
        if any(line.strip().startswith(("import openvino", "from openvino")) for line in path.read_text().splitlines())
    ]
    assert importing == []


def test_telemetry_that_is_there_already_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, runtime.TELEMETRY, sys)
    with pytest.raises(RuntimeError, match="report to Intel"):
        runtime.load.__wrapped__()
