"""mode=remove, and what a safety checker holds back."""

import base64

import pytest

from deployments.config import PaintingSettings

EDITS = "/v1/images/edits"


def test_removal(client, driver, picture, opened):
    form = {"mode": "remove", "target": "the apple"}
    body = client.post(EDITS, files={"image": picture}, data=form).json()
    request = driver.requests[0]
    assert (request.mode, request.prompt, request.target) == ("remove", "", "the apple")
    assert (request.seed, request.num_inference_steps, request.guidance_scale) == (None, None, None)
    assert (body["mode"], body["method"], body["quality"]) == ("remove", "classical fill", "auto")
    assert (request.fill_method, body["fill_method"]) == (None, "classical")
    assert (body["improved"], body["num_inference_steps"], body["changed_outside_px"]) == (False, 0, 0)
    (edited,) = body["data"]
    assert (edited["seed"], edited["seam"]) == (None, 0.5)
    assert (edited["execution"], edited["precision"]) == (None, None)
    score = {"before": 0.25, "after": 0.125, "delta": -0.125, "region_before": 0.5, "region_after": 0}
    assert edited["score"] == score
    painted = opened(base64.b64decode(edited["b64_json"]))
    assert (painted[16:32, 24:48] == 128).all()


@pytest.mark.parametrize(
    "fields",
    [
        {"target": "the apple", "avoid": "the dog"},
        {"target": "the apple", "candidate": "1"},
        {"points": "30,20; 5,5", "labels": "1,0"},
        {"box": "24,16,48,32", "mask_shape": "box", "dilation": "0.1"},
        {"target": "x", "prompt": "", "negative_prompt": "", "n": "1", "quality": "auto"},
        {"target": "x", "prompt": "  "},
        {"target": "x", "output_format": "webp", "output_compression": "40", "size": "96x64"},
    ],
    ids=str,
)
def test_removal_takes_what_says_what_is_meant(client, driver, picture, fields):
    answer = client.post(EDITS, files={"image": picture}, data={"mode": "remove"} | fields)
    assert answer.status_code == 200, answer.text
    assert driver.requests[0].mode == "remove"


def test_removal_by_mask_has_no_score(client, driver, picture):
    form = {"mode": "remove", "mask_mode": "luminance"}
    body = client.post(EDITS, files={"image": picture, "mask": picture}, data=form).json()
    assert body["data"][0]["score"] is None
    assert driver.requests[0].mask.any()


def in_the_words_of(name: str, value: str, why: str) -> str:
    """The refusal of a field: a quality is refused as the number of steps that it sets."""
    sets = f"`quality` {value} sets `num_inference_steps`. `num_inference_steps`"
    return f"{sets if name == 'quality' else f'`{name}`'} {why}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("negative_prompt", "blur"),
        ("n", "2"),
        ("seed", "0"),
        ("num_inference_steps", "20"),
        *[("quality", quality) for quality in ("low", "medium", "high", "standard")],
        ("guidance_scale", "7.5"),
        ("strength", "1"),
        ("fill", "noise"),
        ("scheduler", "ddim"),
    ],
)
@pytest.mark.parametrize("classical", [{}, {"fill_method": "classical"}], ids=["unsaid", "said"])
def test_a_classical_removal_takes_no_field_of_the_painters(refused_edit, name, value, classical):
    message = refused_edit(name, {"prompt": None, "mode": "remove", "target": "x", name: value} | classical)
    why = "is for the painter, and `mode` remove fills without it: leave it out, or send `fill_method` as painter."
    assert message == in_the_words_of(name, value, why)


@pytest.mark.parametrize("method", ["classical", "painter"])
def test_no_removal_takes_a_prompt_or_a_least_score(refused_edit, method):
    removal = {"prompt": None, "mode": "remove", "target": "x", "fill_method": method}
    message = refused_edit("prompt", removal | {"prompt": "a lemon"})
    assert message == "`prompt` says what to paint, and `mode` remove takes something away: leave it out."
    for data in (removal, {"prompt": "remove the apple", "fill_method": method}):
        message = refused_edit("min_score", data | {"min_score": "0"})
        assert message.startswith("`min_score` is for a painting.")


def test_prompt_that_asks_for_a_removal(client, picture):
    """What it means is the driver's to say; the answer tells it."""
    body = client.post(EDITS, files={"image": picture}, data={"prompt": "remove the apple"}).json()
    assert (body["mode"], body["method"], body["quality"]) == ("remove", "classical fill", "auto")
    assert body["data"][0]["seed"] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("negative_prompt", "blur"),
        ("n", "2"),
        ("seed", "0"),
        ("num_inference_steps", "20"),
        *[("quality", quality) for quality in ("low", "medium", "high", "standard")],
        ("strength", "1"),
        ("scheduler", "ddim"),
    ],
)
def test_prompt_that_asks_for_a_removal_takes_no_field_of_the_painters(refused_edit, name, value):
    message = refused_edit(name, {"prompt": "remove the apple", name: value})
    why = (
        "is for the painter, and a `prompt` that removes fills without it: leave it out, or send `fill_method` as "
        "painter."
    )
    assert message == in_the_words_of(name, value, why)


PAINTERS = {
    **{"n": "3", "seed": "40", "num_inference_steps": "12", "guidance_scale": "2.5", "strength": "0.5"},
    **{"fill": "blur", "scheduler": "ddim", "negative_prompt": "a dog"},
}


@pytest.mark.parametrize("removal", [{"mode": "remove", "target": "the apple"}, {"prompt": "remove the apple"}])
def test_a_removal_by_the_painter_takes_all_that_the_painter_heeds(client, driver, picture, removal):
    driver.unsafe_seeds = (41,)
    body = client.post(EDITS, files={"image": picture}, data=removal | PAINTERS | {"fill_method": "painter"}).json()
    (request,) = driver.requests
    assert (request.fill_method, request.n, request.seed, request.guidance_scale) == ("painter", 3, 40, 2.5)
    assert (request.strength, request.fill, request.scheduler) == (0.5, "blur", "ddim")
    assert (request.num_inference_steps, request.negative_prompt) == (12, "a dog")
    assert (body["mode"], body["method"], body["fill_method"]) == ("remove", "diffusion", "painter")
    assert [edited["seed"] for edited in body["data"]] == [42, 40]
    assert [one["seed"] for one in body["filtered"]] == [41]
    assert body["num_inference_steps"] == 12


def test_quality_sets_the_steps_of_a_removal_by_the_painter(client, driver, picture):
    data = {"mode": "remove", "target": "x", "fill_method": "painter", "quality": "high"}
    body = client.post(EDITS, files={"image": picture}, data=data).json()
    assert (driver.requests[0].num_inference_steps, body["quality"]) == (40, "high")


def test_the_services_own_method_decides_where_none_is_sent(client, driver, picture, refused_edit):
    driver.settings = driver.settings.model_copy(update={"painting": PaintingSettings(fill_method="painter")})
    removal = {"mode": "remove", "target": "x"}
    body = client.post(EDITS, files={"image": picture}, data=removal | {"n": "2"}).json()
    assert (body["fill_method"], len(body["data"])) == ("painter", 2)
    driver.requests.clear()
    refused_edit("n", removal | {"prompt": None, "n": "2", "fill_method": "classical"})


@pytest.mark.parametrize("data", [{"prompt": "a lemon"}, {"prompt": "remove the apple", "target": "the apple"}])
@pytest.mark.parametrize("method", ["classical", "painter"])
def test_only_a_removal_has_a_method_of_filling(client, picture, refused_edit, data, method):
    message = refused_edit("fill_method", data | {"fill_method": method})
    assert message == "`fill_method` is for a removal, and this edit paints its `prompt`: leave it out."
    assert client.post(EDITS, files={"image": picture}, data=data).json()["fill_method"] is None


def test_prompt_beside_a_target_is_painted(client, driver, picture):
    form = {"prompt": "remove the apple", "quality": "high", "target": "the apple"}
    answer = client.post(EDITS, files={"image": picture}, data=form)
    assert answer.status_code == 200, answer.text
    assert driver.requests[0].num_inference_steps == 40


@pytest.mark.parametrize("fields", [{"points": "30,20"}, {"box": "24,16,48,32"}, {"mask": ""}])
def test_prompt_may_ask_to_remove_what_is_pointed_at(client, picture, refused_edit, fields):
    files = {"image": picture, **({"mask": picture} if "mask" in fields else {})}
    answer = client.post(EDITS, files=files, data={"prompt": "remove the apple"} | fields)
    assert answer.status_code == 200, answer.text
    if "mask" not in fields:
        assert "fills without it" in refused_edit("quality", {"prompt": "remove the apple", "quality": "high"} | fields)


def test_removal_needs_to_know_of_what(refused_edit):
    assert "what is to go?" in refused_edit("target", {"prompt": None, "mode": "remove"})


def test_removal_as_a_picture_has_no_seed_to_tell(client, picture, opened):
    for form, scored in (({"target": "the apple"}, True), ({"points": "30,20"}, False)):
        form = {"mode": "remove"} | form
        answer = client.post(EDITS, files={"image": picture}, data=form, headers={"accept": "image/png"})
        assert answer.status_code == 200
        assert (opened(answer.content)[16:32, 24:48] == 128).all()
        assert "x-retouch-seed" not in answer.headers
        assert ("x-retouch-score" in answer.headers) == scored
        assert answer.headers["x-retouch-improved"] == "false"
        assert answer.headers["x-retouch-fill-method"] == "classical"
        assert answer.headers["x-retouch-candidate"] == "0"


# The safety checker


def test_some_pictures_are_held_back(client, driver, picture):
    driver.unsafe_seeds = (41, 43)
    form = {"prompt": "x", "n": "4", "seed": "40"}
    body = client.post(EDITS, files={"image": picture}, data=form).json()
    assert [edited["seed"] for edited in body["data"]] == [42, 40]
    assert body["filtered"] == [
        {"seed": 41, "code": "moderation_blocked"},
        {"seed": 43, "code": "moderation_blocked"},
    ]


@pytest.mark.parametrize("accept", ["application/json", "image/png"])
def test_all_pictures_are_held_back(client, driver, picture, refused, accept):
    driver.unsafe_seeds = (40,)
    form = {"prompt": "CANARY", "seed": "40"}
    answer = client.post(EDITS, files={"image": picture}, data=form, headers={"accept": accept})
    message = refused(answer, 400, "moderation_blocked", "prompt")["message"]
    assert "safety checker" in message
    assert "CANARY" not in answer.text
    assert "x-should-retry" not in answer.headers
