"""The builder refuses what no machine could load, and leaves to the replicas what another machine may have."""

import pytest

from deployments.config import GraphArgs
from deployments.errors import SettingError
from graph import build_app


@pytest.mark.parametrize(
    ("args", "setting"),
    [
        ({"sam": {"device": "gpu"}}, "sam.device"),
        ({"sam": {"revision": "main"}}, "sam.revision"),
        ({"clip": {"model": "{folder}/text.pth"}}, "clip.model"),
        ({"inpaint": {"model": "{folder}"}}, "inpaint.model"),
    ],
    ids=str,
)
def test_what_no_machine_could_load_is_refused(tmp_path, args, setting):
    (tmp_path / "text.pth").write_text("weights? no")
    filled = {
        stage: {key: value.replace("{folder}", str(tmp_path)) for key, value in one.items()}
        for stage, one in args.items()
    }
    with pytest.raises(SettingError) as caught:
        build_app(GraphArgs.model_validate(filled))
    assert caught.value.setting == setting


def test_what_is_only_missing_here_is_left_to_the_machine_that_loads_it():
    args = GraphArgs.model_validate(
        {"sam": {"model": "/nowhere/sam.pth"}, "clip": {"model": "openai/clip-vit-base-patch32"}}
    )
    assert build_app(args)
