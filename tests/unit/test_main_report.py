"""What `main.py` says of a result besides the two printed lines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import main
from deployments.messages import Candidate, Edit, EditResult, Location, PackedMask, Score


def result(location):
    image = np.zeros((32, 48, 3), np.uint8)
    return EditResult(
        edits=(Edit(image, 7, Score(0.1, 0.2, 0.1, 0.3), 1.0),),
        location=location,
        mask=np.zeros((32, 48), bool),
        mode="replace",
        fill_method=None,
        num_inference_steps=1,
        guidance_scale=3.0,
        changed_outside_px=0,
        improved=True,
        timings_s={"total": 1.0},
    )


@pytest.mark.parametrize(
    ("instances", "said"), [((), "candidate 1 of 3"), ((0, 1, 2), "all 3 repainted")], ids=["one", "all"]
)
def test_which_of_the_candidates_were_repainted_is_said(instances, said, capsys):
    candidate = Candidate((3, 4), (0, 0, 9, 9), 0.1, 1.0, 0.9, "peak", PackedMask.of(np.ones((32, 48), bool)))
    found = Location("x", "x", (3, 4), 0.9, 1.0, True, None, (candidate,) * 3, 0 if instances else 1, instances)
    main.report(result(found), Path("out"), ())
    assert capsys.readouterr().out.splitlines()[0].endswith(said)


@pytest.mark.parametrize(
    ("converted", "said"), [((), None), (("profile", "metadata"), "converted when it was read: profile, metadata.")]
)
def test_what_reading_the_file_converted_is_said(converted, said, capsys):
    main.report(result(Location("the apple", "apple", (3, 4), 0.9, 1.0, True, None)), Path("out"), converted)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert ("converted" in err) == (said is not None)
    assert said is None or said in err


@pytest.mark.parametrize(
    ("mode", "method", "words"),
    [
        ("replace", None, ["matches the text no better than before", "seed 7"]),
        ("remove", "painter", ["matches the text no less than before", "seed 7"]),
        ("remove", "classical", ["matches the text no less than before", "filled by a classical method"]),
    ],
)
def test_what_was_done_and_that_it_did_not_help_is_said(mode, method, words, capsys):
    found = Location("x", "x", (3, 4), 0.9, 1.0, True, None)
    main.report(replace(result(found), mode=mode, fill_method=method, improved=False), Path("out"), ())
    said = capsys.readouterr().err
    assert all(each in said for each in words)
