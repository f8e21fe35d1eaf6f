"""Loading an inpainting model and a LoRA: whole or not at all, with a reason that names the setting."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from deployments.config import GraphArgs, InpaintArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.inpaint.model import InpaintModel
from deployments.launch.preflight import problems

UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT_ENCODER = "text_encoder/model.safetensors"


@pytest.fixture(scope="module")
def saved(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "tiny")


def refused(folder, **args):
    with pytest.raises(SettingError) as caught:
        InpaintModel.load(InpaintArgs(model=str(folder), **args))
    assert "\n" not in str(caught.value)
    return caught.value


def same(parameters, others):
    return all(torch.equal(ours, theirs) for ours, theirs in zip(parameters, others, strict=True))


def rewrite(path, change):
    state = load_file(path)
    change(state)
    save_file(state, path, metadata={"format": "pt"})


def test_loading_what_was_saved(pipeline, folder):
    model = InpaintModel.load(InpaintArgs(model=str(folder)))
    assert model.native_px == 32
    for part in ("unet", "vae", "text_encoder"):
        assert same(getattr(model, part).parameters(), getattr(pipeline, part).parameters())


def test_a_tilde_is_the_home(pipeline, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert same(InpaintModel.load(InpaintArgs(model="~/tiny")).unet.parameters(), pipeline.unet.parameters())


def test_a_variant_reads_its_own_weights(pipeline, folder):
    for file in (UNET, TEXT_ENCODER):
        path = folder / file
        shutil.copy(path, path.with_suffix(".other.safetensors"))
        rewrite(path, lambda state: [tensor.zero_() for tensor in state.values()])
    other = InpaintModel.load(InpaintArgs(model=str(folder), variant="other"))
    for part in ("unet", "text_encoder", "vae"):  # the VAE has plain weights alone
        assert same(getattr(other, part).parameters(), getattr(pipeline, part).parameters())
    plain = InpaintModel.load(InpaintArgs(model=str(folder)))
    assert not any(tensor.any() for part in (plain.unet, plain.text_encoder) for tensor in part.parameters())


FIRST_NAMES = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}


def renamed(state, names):
    """Rename the tensors of a state dict in place."""
    for key in list(state):
        state[names(key)] = state.pop(key)


def as_first_published(name):
    """Return what a tensor of a VAE's attention was called when Stable Diffusion 1.5 and 2 were published."""
    for new, old in FIRST_NAMES.items():
        name = name.replace(new, old)
    return name


def test_tensors_are_found_by_the_names_of_the_published_files(pipeline, folder):
    rewrite(folder / "vae/diffusion_pytorch_model.safetensors", lambda state: renamed(state, as_first_published))
    rewrite(folder / TEXT_ENCODER, lambda state: renamed(state, lambda name: f"text_model.{name}"))
    rewrite(folder / TEXT_ENCODER, lambda state: state.update({"text_model.embeddings.position_ids": torch.arange(9)}))
    model = InpaintModel.load(InpaintArgs(model=str(folder)))
    for part in ("vae", "text_encoder"):
        assert same(getattr(model, part).parameters(), getattr(pipeline, part).parameters())


def without_unet(folder):
    (folder / UNET).unlink()


def cut_short(folder):
    (folder / UNET).write_bytes((folder / UNET).read_bytes()[:9000])


def of_a_library(folder):
    shutil.rmtree(folder / "vae")


@pytest.mark.parametrize("damage", [shutil.rmtree, without_unet, cut_short, of_a_library])
def test_the_loader_says_what_the_preflight_says(folder, damage):
    damage(folder)
    error = refused(folder)
    (said_before,) = problems(GraphArgs(inpaint=InpaintArgs(model=str(folder))))
    assert str(error) == str(said_before)
    assert type(error) is type(said_before)
    assert error.setting == "inpaint.model"
    assert repr(str(folder)) in error.problem


def test_a_text_to_image_checkpoint_is_refused(new_pipeline, tmp_path):
    new_pipeline(unet_channels=4).save_pretrained(tmp_path)
    assert refused(tmp_path).problem.startswith(
        f"the UNet of {str(tmp_path)!r} takes 4 channels, and an inpainting UNet takes 9. "
        "It is probably a text-to-image model. Give 'pocket'"
    )


def test_weights_that_are_no_safetensors_are_not_even_opened(new_pipeline, tmp_path):
    new_pipeline().save_pretrained(tmp_path, safe_serialization=False)
    for pickled in tmp_path.rglob("*.bin"):
        pickled.write_bytes(b"no pickle")
    problem = refused(tmp_path).problem
    assert "there is unet/diffusion_pytorch_model.bin, but pickled weights are never read" in problem


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_part_that_lacks_a_tensor_is_refused(folder, part):
    (path,) = (folder / part).glob("*.safetensors")
    rewrite(path, lambda state: state.pop(next(name for name in sorted(state) if name.endswith(".bias"))))
    problem = refused(folder).problem
    assert problem.startswith(f"the weights of the {part} in {str(folder)!r} are not complete: 1 are missing, such as ")


def test_a_tensor_of_another_shape_is_named(folder):
    rewrite(folder / UNET, lambda state: state.update({"conv_in.bias": torch.zeros(99)}))
    problem = refused(folder).problem
    assert problem.startswith(f"{str(folder)!r} cannot be loaded: ")
    assert "conv_in.bias" in problem
    rewrite(folder / UNET, lambda state: state.update({"conv_in.bias": torch.zeros(8)}))
    name = "embeddings.position_embedding.weight"
    key = next(key for key in load_file(folder / TEXT_ENCODER) if key.endswith(name))
    rewrite(folder / TEXT_ENCODER, lambda state: state.update({key: torch.zeros(3, 3)}))
    assert refused(folder).problem.startswith(
        f"the weights of the text_encoder in {str(folder)!r} do not fit their config.json: "
    )


@pytest.mark.parametrize(("field", "value"), [("device", "gpu"), ("revision", "main")])
def test_another_setting_is_refused_by_its_own_name(folder, field, value):
    assert refused(folder, **{field: value}).setting == f"inpaint.{field}"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused_by_name(folder):
    error = refused(folder, device="cuda")
    assert isinstance(error, NotOnThisMachine)
    assert str(error).startswith("inpaint.device: 'cuda' is not on this machine: torch sees no GPU.")


# LoRA


def save_lora(pipeline, folder):
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(1)
    pipeline.unet.add_adapter(
        LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_v", "conv1"])
    )
    pipeline.save_lora_weights(folder, get_peft_model_state_dict(pipeline.unet))
    return folder / "pytorch_lora_weights.safetensors"


def test_a_lora_is_fused_into_the_weights(new_pipeline, saved, stock, close, request_, tmp_path, latents_of):
    pipeline = new_pipeline()
    file = save_lora(pipeline, tmp_path)
    expected = stock(pipeline, request_)
    for lora in (tmp_path, file):
        args = InpaintArgs(model=str(saved), lora=str(lora))
        assert close(latents_of(InpaintModel.load(args), request_), expected)
    plain = InpaintModel.load(InpaintArgs(model=str(saved)))
    assert not close(latents_of(plain, request_), expected, 1e-2)


def test_a_lora_that_is_none_is_named_by_its_setting(saved, tmp_path):
    args = InpaintArgs(model=str(saved), lora=str(tmp_path / "nowhere"))
    error = refused(saved, lora=args.lora)
    assert str(error) == str(next(problems(GraphArgs(inpaint=args))))
    assert str(error).startswith(f"inpaint.lora: there is no file or folder {args.lora!r} on this machine. Give ")


def test_a_lora_for_another_unet_is_refused(new_pipeline, saved, tmp_path):
    file = save_lora(new_pipeline(), tmp_path)
    rewrite(file, lambda state: [state.update({key: torch.zeros(7, 7)}) for key in list(state) if ".to_q." in key])
    error = refused(saved, lora=str(file))
    assert error.setting == "inpaint.lora"
    assert error.problem.startswith(f"{str(file)!r} cannot be loaded: Error(s) in loading state_dict")


def test_a_lora_that_reaches_nothing_is_refused(saved, tmp_path):
    save_file({"other.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    error = refused(saved, lora=str(tmp_path / "x.safetensors"))
    assert error.setting == "inpaint.lora"
    assert repr(str(tmp_path / "x.safetensors")) in error.problem
