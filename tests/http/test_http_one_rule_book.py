"""What cannot be is refused in the same words, whether it comes as a form or through a Python handle."""

import numpy as np
import pytest

from deployments.driver.jobs import complete_edit
from deployments.errors import InvalidInput
from deployments.messages import EditRequest

REMOVAL = {"mode": "remove", "prompt": "", "target": "x"}
IMAGE = np.zeros((64, 96, 3), np.uint8)


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"n": "11"}, {"n": 11}),
        ({"seed": "-1"}, {"seed": -1}),
        ({"seed": "x"}, {"seed": "x"}),
        ({"strength": "0"}, {"strength": 0}),
        ({"dilation": "nan"}, {"dilation": float("nan")}),
        ({"all": "both"}, {"all": "both"}),
        ({"fill": "white"}, {"fill": "white"}),
        ({"scheduler": "magic"}, {"scheduler": "magic"}),
        ({"prompt": "x" * 201}, {"prompt": "x" * 201}),
        ({"prompt": " "}, {"prompt": " "}),
        ({"prompt": "a (lemon:1.6)"}, {"prompt": "a (lemon:1.6)"}),
        ({"points": "1,2;" * 65}, {"points": ((1, 2),) * 65}),
        ({"points": "96,0"}, {"points": (96, 0)}),
        ({"points": "1,2", "labels": "1,0"}, {"points": (1, 2), "labels": (1, 0)}),
        ({"points": "1,2", "labels": "0"}, {"points": (1, 2), "labels": 0}),
        ({"points": "1,2; 1,2", "labels": "1,0"}, {"points": ((1, 2), (1, 2)), "labels": (1, 0)}),
        ({"points": "1,2", "box": "5,5,9,9"}, {"points": (1, 2), "box": (5, 5, 9, 9)}),
        ({"points": "1,2", "avoid": "x"}, {"points": (1, 2), "avoid": "x"}),
        ({"points": "1,2", "all": "true"}, {"points": (1, 2), "all": True}),
        ({"box": "9,9,5,5"}, {"box": (9, 9, 5, 5)}),
        ({"mode": "remove", "prompt": ""}, {"mode": "remove", "prompt": ""}),
        ({"mode": "remove", "target": "x"}, {"mode": "remove", "target": "x"}),
        ({**REMOVAL, "strength": "1"}, {**REMOVAL, "strength": 1}),
        ({"prompt": "remove the dog", "n": "2"}, {"prompt": "remove the dog", "n": 2}),
        ({"fill_method": "painter"}, {"fill_method": "painter"}),
        ({"fill_method": "telea"}, {"fill_method": "telea"}),
        ({**REMOVAL, "fill_method": "classical", "n": "2"}, {**REMOVAL, "fill_method": "classical", "n": 2}),
        (
            {**REMOVAL, "fill_method": "painter", "min_score": "0"},
            {**REMOVAL, "fill_method": "painter", "min_score": 0},
        ),
        ({**REMOVAL, "fill_method": "painter", "prompt": "x"}, {**REMOVAL, "fill_method": "painter", "prompt": "x"}),
    ],
    ids=str,
)
def test_both_faces_refuse_in_the_same_words(client, driver, picture, form, fields):
    answer = client.post("/v1/images/edits", files={"image": picture}, data={"prompt": "a lemon"} | form)
    assert not driver.requests
    with pytest.raises(InvalidInput) as caught:
        complete_edit(EditRequest(**{"image": IMAGE, "prompt": "a lemon"} | fields), driver.settings)
    error = answer.json()["error"]
    assert (answer.status_code, error["message"]) == (caught.value.status, caught.value.message)
    assert (error["param"], error["code"]) == (caught.value.param, caught.value.code)
