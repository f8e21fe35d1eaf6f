"""What `main.py` says of a result besides the two printed lines."""

from pathlib import Path

import numpy as np
import pytest

import main
from deployments.messages import Edit, EditResult, Location, Score


@pytest.mark.parametrize(
    ("converted", "said"), [((), None), (("profile", "metadata"), "converted when it was read: profile, metadata.")]
)
def test_what_reading_the_file_converted_is_said(converted, said, capsys):
    image = np.zeros((32, 48, 3), np.uint8)
    main.report(
        EditResult(
            edits=(Edit(image, 7, Score(0.1, 0.2, 0.1, 0.3), 1.0),),
            location=Location("the apple", "apple", (3, 4), 0.9, 1.0, True, None),
            mask=np.zeros((32, 48), bool),
            mode="replace",
            num_inference_steps=1,
            guidance_scale=3.0,
            changed_outside_px=0,
            improved=True,
            timings_s={"total": 1.0},
        ),
        Path("out"),
        converted,
    )
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert ("converted" in err) == (said is not None)
    assert said is None or said in err
