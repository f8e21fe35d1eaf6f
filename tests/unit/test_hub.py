"""Models on the hub: what its cache knows, and what a hub answers, if it answers. The hub here is a local server."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from huggingface_hub import constants

from deployments.clip import checkpoint
from deployments.config import POCKET_WEIGHTS, GraphArgs, ModelArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.launch.preflight import problems
from deployments.serving.checkpoints.hub import Hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOT_HERE = "is neither a folder here nor in the hub's cache, and the hub cannot be reached"


class LocalHub:
    """Answers `files`, by their path in the address, and remembers what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status, self.error_code = 404, "RepoNotFound"  # of everything else
        self.asked: list[str] = []
        self.hung = Event()
        self.hang = False
        self.drip_s = 0.0  # between two bytes of an answer
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append(self.path)
                if hub.hang:
                    hub.hung.wait(10)
                content = hub.files.get(self.path)
                self.send_response(200 if content is not None else hub.status)
                if content is None:
                    self.send_header("X-Error-Code", hub.error_code)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                for byte in content or b"":
                    self.wfile.write(bytes([byte]))
                    hub.hung.wait(hub.drip_s)

            def log_message(self, *args: object) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, repo: str, file: str, content: object, revision: str = "main") -> None:
        self.files[f"/{repo}/resolve/{revision}/{file}"] = json.dumps(content).encode()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    local = LocalHub()
    use(monkeypatch, local.address)
    thread = Thread(target=local.server.serve_forever, args=(0.02,))
    thread.start()
    yield local
    local.hung.set()
    local.server.shutdown()
    local.server.server_close()
    thread.join()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "http://127.0.0.1:9")


def use(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


def put_in_cache(cache: Path, repo: str, files: Path) -> None:
    """As huggingface_hub lays out its cache."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    shutil.copytree(files, folder / "snapshots" / COMMIT)


def found(reach_hub: bool = True, **models: object) -> list[SettingError]:
    args = {room: {"model": model} if isinstance(model, str) else model for room, model in models.items()}
    return list(problems(GraphArgs.model_validate(args), reach_hub))


@pytest.mark.usefixtures("no_hub")
def test_what_the_cache_has_is_looked_at_without_the_hub(cache: Path) -> None:
    put_in_cache(cache, "openai/clip", POCKET_WEIGHTS / "clip")
    put_in_cache(cache, "stable-diffusion-v1-5/stable-diffusion-inpainting", POCKET_WEIGHTS / "inpaint")
    put_in_cache(cache, "wrong/kind", POCKET_WEIGHTS / "inpaint/text_encoder")
    for reach_hub in (False, True):
        assert found(reach_hub, clip="openai/clip", inpaint="runwayml/stable-diffusion-inpainting") == []
        (error,) = found(reach_hub, clip="wrong/kind")
        kind = "config.json says that it is of the kind 'clip_text_model', not 'clip'"
        assert error.problem.startswith(f"'wrong/kind' is not a CLIP model: {kind}. Give")
        assert not isinstance(error, NotOnThisMachine)


@pytest.mark.usefixtures("no_hub")
def test_without_cache_and_hub_it_is_not_on_this_machine() -> None:
    start = time.perf_counter()
    models = {"clip": "openai/x", "inpaint": {"model": "runwayml/stable-diffusion-inpainting", "lora": "x/y"}}
    errors = found(**models)
    assert time.perf_counter() - start < 15  # the hub's own client would try again for 23 s, for each model
    for error, name in zip(errors, ("openai/x", "runwayml/stable-diffusion-inpainting", "x/y"), strict=True):
        assert isinstance(error, NotOnThisMachine)
        assert error.problem.startswith(f"{name!r} {NOT_HERE} ([Errno 111] Connection refused). Give ")
    assert found(False, **models) == []


def test_offline_mode_is_honoured(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (error,) = found(clip="openai/x")
    assert error.problem.startswith(f"'openai/x' {NOT_HERE} (HF_HUB_OFFLINE is set). Give ")
    assert hub.asked == []


def test_a_hub_that_does_not_answer_costs_its_patience_once(hub: LocalHub) -> None:
    hub.hang = True
    patient = Hub(patience_s=0.3)
    for name in ("a/b", "c/d"):
        with pytest.raises(NotOnThisMachine, match="the hub cannot be reached"):
            checkpoint.check(ModelArgs(model=name), patient)
    assert len(hub.asked) == 1


def test_an_answer_that_never_ends_is_given_up(hub: LocalHub) -> None:
    hub.add("a/b", "config.json", {"model_type": "clip"})
    hub.drip_s = 0.1
    with pytest.raises(NotOnThisMachine, match=r"the hub cannot be reached \(no answer within 0.3 s\)"):
        checkpoint.check(ModelArgs(model="a/b"), Hub(patience_s=0.3))


@pytest.mark.parametrize("room", ["clip", "inpaint"])
@pytest.mark.parametrize(
    ("status", "code"), [(404, "RepoNotFound"), (401, "RepoNotFound"), (403, "GatedRepo"), (401, ""), (403, "")]
)
def test_a_model_that_the_hub_denies(hub: LocalHub, room: str, status: int, code: str) -> None:
    hub.status, hub.error_code = status, code
    (error,) = found(**{room: "x/y"})
    assert not isinstance(error, NotOnThisMachine)
    assert error.problem.startswith("the hub has no model 'x/y' that this machine may read. Give 'pocket'")


def test_a_hub_in_trouble_is_not_reached(hub: LocalHub) -> None:
    hub.status, hub.error_code = 503, ""
    (error,) = found(clip="x/y")
    assert isinstance(error, NotOnThisMachine)
    assert "503" in error.problem
    assert "\n" not in error.problem


def test_a_revision_that_the_hub_lacks(hub: LocalHub) -> None:
    hub.error_code = "RevisionNotFound"
    (error,) = found(clip={"model": "x/y", "revision": "v9"})
    assert str(error) == "clip.revision: the hub's 'x/y' has no revision 'v9'. Give one that it has, or none."
    assert hub.asked == ["/x/y/resolve/v9/config.json"]


def test_the_hubs_settings_are_looked_at_like_a_folders(hub: LocalHub) -> None:
    hub.error_code = "EntryNotFound"
    hub.add("x/clip", "config.json", {"model_type": "clip"})
    hub.add("x/siglip", "config.json", {"model_type": "siglip"})
    hub.add("x/xl", "model_index.json", {"_class_name": "StableDiffusionXLPipeline"})
    assert found(clip="x/clip") == []
    (error,) = found(clip="x/siglip")
    assert "of the kind 'siglip', not 'clip'" in error.problem
    (error,) = found(clip="x/xl")
    assert "it is a diffusers pipeline (StableDiffusionXLPipeline)" in error.problem
    (error,) = found(inpaint="x/xl")
    assert "a diffusers pipeline of another kind (StableDiffusionXLPipeline)" in error.problem
    (error,) = found(inpaint="x/clip")
    assert "no model_index.json; config.json says that it is of the kind 'clip'" in error.problem


def test_the_parts_of_a_pipeline_on_the_hub_have_to_fit(hub: LocalHub) -> None:
    for path in (POCKET_WEIGHTS / "inpaint").rglob("*.json"):
        file = str(path.relative_to(POCKET_WEIGHTS / "inpaint"))
        hub.add("x/sd", file, json.loads(path.read_text()))
    assert found(inpaint="x/sd") == []
    hub.add("x/sd", "unet/config.json", {"in_channels": 4, "sample_size": 64})
    (error,) = found(inpaint="x/sd")
    assert error.problem.startswith("the UNet of 'x/sd' takes 4 channels, and an inpainting UNet takes 9")


def test_a_lora_on_the_hub_has_a_file_that_can_be_read(hub: LocalHub) -> None:
    info = {"id": "x/lora", "siblings": [{"rfilename": "pytorch_lora_weights.safetensors"}]}
    hub.files["/api/models/x/lora"] = json.dumps(info).encode()
    hub.files["/api/models/x/pickled"] = json.dumps({**info, "siblings": [{"rfilename": "x.bin"}]}).encode()
    assert found(inpaint={"lora": "x/lora"}) == []
    (error,) = found(inpaint={"lora": "x/pickled"})
    assert error.problem.startswith("there is no .safetensors file in the hub's 'x/pickled'. Give a .safetensors file")
    (error,) = found(inpaint={"lora": "x/nothing"})
    assert error.problem.startswith("the hub has no model 'x/nothing' that this machine may read")


@pytest.mark.usefixtures("no_hub")
def test_a_lora_in_the_cache_needs_no_hub(cache: Path, tmp_path: Path) -> None:
    header = json.dumps({"unet.x.lora.up": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    (tmp_path / "lora").mkdir()
    file = tmp_path / "lora" / "pytorch_lora_weights.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    put_in_cache(cache, "x/lora", tmp_path / "lora")
    assert found(inpaint={"lora": "x/lora"}) == []
