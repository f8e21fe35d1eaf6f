"""What a Python caller may write for points, labels, a box and a picture: it is understood, or refused by its name."""

import contextlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from deployments.config import DriverSettings
from deployments.driver.jobs import complete_edit, complete_locate, complete_score
from deployments.errors import InvalidInput
from deployments.limits import Limits
from deployments.messages import EditRequest, LocateRequest, ScoreRequest

IMAGE = np.zeros((64, 48, 3), np.uint8)
MASK = np.zeros((64, 48), bool)
MASK[10:20, 10:20] = True
SETTINGS = DriverSettings(limits=Limits(max_points=5))


def edit(**fields):
    return complete_edit(EditRequest(**{"image": IMAGE, "prompt": "a lemon", **fields}), SETTINGS)


def refused(**fields):
    """The error with which an edit of these fields is refused."""
    with pytest.raises(InvalidInput) as caught:
        edit(**fields)
    return caught.value


def are_plain(values):
    return all(type(value) is int for value in values)


PAIR = [(3, 4), [3, 4], np.array([3, 4]), np.array([3.0, 4.0]), (np.int64(3), np.uint8(4)), [3.0, np.float32(4)]]


@pytest.mark.parametrize("points", PAIR, ids=repr)
def test_one_point(points):
    for given_points in (points, [points], (points,), np.array([points])):
        where = edit(points=given_points).where
        assert (where.points, where.labels) == (((3, 4),), (1,))
        assert are_plain(where.points[0])


@pytest.mark.parametrize(
    "points",
    [
        ((3, 4), (5, 6)),
        [[3, 4], [5, 6]],
        [(3, 4), np.array([5, 6])],
        np.array([[3, 4], [5, 6]]),
        np.array([[3, 4], [5, 6]], np.float32),
        np.array([[3, 4], [5, 6]], object),
        np.array([[4, 3], [6, 5]])[:, ::-1],
    ],
    ids=repr,
)
def test_two_points(points):
    assert edit(points=points).where.points == ((3, 4), (5, 6))
    assert complete_locate(LocateRequest(IMAGE, points=points), SETTINGS).points == ((3, 4), (5, 6))


@pytest.mark.parametrize("points", [None, (), [], np.empty((0, 2)), np.array([])], ids=repr)
def test_no_points(points):
    where = edit(points=points, labels=points).where
    assert (where.points, where.labels) == ((), ())
    assert where.wordings  # so the words say what is meant
    assert edit(points=points, mask=MASK).mask is not None


@pytest.mark.parametrize(
    "labels",
    [
        (1, 0),
        [1, 0],
        np.array([1, 0]),
        np.array([1.0, 0.0]),
        [True, False],
        np.array([True, False]),
        [np.uint8(1), np.bool_(False)],
    ],
    ids=repr,
)
def test_labels(labels):
    where = edit(points=np.array([[3, 4], [5, 6]]), labels=labels).where
    assert where.labels == (1, 0)
    assert are_plain(where.labels)


@pytest.mark.parametrize("label", [1, True, 1.0, np.int64(1), np.array(1), [1], np.array([1])], ids=repr)
def test_one_label(label):
    assert edit(points=(3, 4), labels=label).where.labels == (1,)


def test_a_bare_0_is_a_label_and_not_a_missing_one():
    assert edit(points=(3, 4), labels=0, box=(0, 0, 9, 9)).where.labels == (0,)
    assert refused(points=(3, 4), labels=0).param == "labels"
    assert refused(points=((3, 4), (5, 6)), labels=1).param == "labels"  # one number for two


@pytest.mark.parametrize(
    "box", [(1, 2, 48, 64), [1, 2, 48, 64], np.array([1, 2, 48, 64]), np.array([1.0, 2, 48, 64])], ids=repr
)
def test_a_box(box):
    where = edit(box=box).where
    assert where.box == (1, 2, 48, 64)
    assert are_plain(where.box)
    assert complete_locate(LocateRequest(IMAGE, box=box), SETTINGS).box == (1, 2, 48, 64)


NO_POINTS = {
    "a text": "3,4",
    "texts": [("3", "4")],
    "a number": 3,
    "a set": {3, 4},
    "a dict": {"x": 3, "y": 4},
    "one number": [3],
    "three numbers": (1, 2, 3),
    "flat pairs": [3, 4, 5, 6],
    "ragged": [[1, 2], [3]],
    "mixed": [[1, 2], 3],
    "empty point": [[]],
    "too deep": [[[1, 2]]],
    "nothing in a point": [None, (1, 2)],
    "an array of 3 columns": np.zeros((2, 3)),
    "OpenCV's arrays": np.zeros((2, 1, 2), np.int32),
    "an array without dimensions": np.array(3),
    "fractions": np.array([[0.5, 1]]),
    "nan": (float("nan"), 1),
    "infinity": np.array([np.inf, 1]),
    "bools": (True, False),
    "complex": np.array([1 + 0j, 2]),
    "negative": np.array([[-1, 3]]),
    "right of the picture": (48, 0),
    "below the picture": [0, 64],
    "beyond any integer": (10**400, 0),
    "one too many": np.ones((6, 2), int),
    "a flood": np.broadcast_to(1, (10**12, 2)),
    "masked": np.ma.masked_array([[1, 2]], [[True, False]]),
}


@pytest.mark.parametrize("points", NO_POINTS.values(), ids=NO_POINTS)
def test_what_is_no_point_is_refused(points):
    error = refused(points=points)
    assert error.param == "points"
    assert error.message.startswith("`points` must ")


@pytest.mark.parametrize(
    "labels",
    ["10", ["1", "0"], 2, (1,), (1, 0, 1), (1, 2), (1, -1), (1, 0.5), (1, None), [[1, 0]], np.eye(2), {1, 0}],
    ids=repr,
)
def test_what_are_no_labels_is_refused(labels):
    assert refused(points=[(3, 4), (5, 6)], labels=labels).param == "labels"


@pytest.mark.parametrize(
    "box",
    [
        *(
            "1,2,3,4",
            ["1", "2", "3", "4"],
            7,
            (),
            [1, 2, 3],
            np.arange(5),
            [[0, 0, 9, 9]],
            np.zeros((2, 2)),
            {1, 2, 3, 4},
        ),
        *((0, 0, 0.5, 9), (0, 0, float("nan"), 9), (-1, 0, 9, 9), (0, 0, 49, 9), (5, 0, 5, 9), (0, 0, True, 9)),
    ],
    ids=repr,
)
def test_what_is_no_box_is_refused(box):
    error = refused(box=box)
    assert error.param == "box"
    assert error.message.startswith("`box` must ")


def test_arrays_do_not_hide_what_excludes_a_mask():
    assert refused(mask=MASK, points=np.array([[3, 4], [5, 6]])).param == "points"
    assert refused(mask=MASK, box=np.array([0, 0, 9, 9])).param == "box"
    assert refused(mask=MASK, candidate=np.array([1, 2])).param == "candidate"


# Pictures


@pytest.mark.parametrize(
    ("image", "came"),
    [
        (None, "not a NoneType"),
        ("photo.png", "not a str"),
        (IMAGE.tolist(), "not a list"),
        (Image.fromarray(IMAGE), "not a Image"),
        (IMAGE.astype(np.float32), "type float32"),
        (IMAGE.astype(bool), "type bool"),
        (IMAGE.astype(np.uint16), "type uint16"),
        (IMAGE[..., 0], r"shape \(64, 48\)"),
        (np.zeros((64, 48, 4), np.uint8), r"shape \(64, 48, 4\)"),
        (IMAGE[None], r"shape \(1, 64, 48, 3\)"),
        (np.moveaxis(IMAGE, 2, 0), r"shape \(3, 64, 48\)"),
    ],
)
def test_a_picture_of_another_kind_is_refused_with_what_is_wanted(image, came):
    for call in (
        lambda: edit(image=image),
        lambda: complete_locate(LocateRequest(image, "cat"), SETTINGS),
        lambda: complete_score(ScoreRequest(image, "cat"), SETTINGS),
    ):
        with pytest.raises(
            InvalidInput, match=r"`image` must be .*\(height, width, 3\) and type uint8.*" + came
        ) as caught:
            call()
        assert caught.value.param == "image"


@pytest.mark.parametrize(
    "seen",
    [
        lambda image: image[::-1, ::-1],
        lambda image: image[:, :, ::-1],
        lambda image: image[::2, ::2],
        lambda image: image.transpose(1, 0, 2),
        np.asfortranarray,
    ],
)
def test_any_view_of_an_array_is_a_picture(seen):
    image = seen(np.random.default_rng(1).integers(0, 256, (64, 48, 3), dtype=np.uint8))
    for complete in (
        edit(image=image).image,
        complete_locate(LocateRequest(image, "cat"), SETTINGS).image,
        complete_score(ScoreRequest(image, "cat"), SETTINGS).image,
    ):
        np.testing.assert_array_equal(complete, image)
        assert complete.flags.c_contiguous


def test_a_read_only_picture_is_one():
    image = IMAGE.copy()
    image.flags.writeable = False
    assert edit(image=image).image is image  # and nothing of it is copied


# Anything at all

NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.integers(0, 60).map(np.int32),
    st.integers(0, 60).map(np.float32),
    st.complex_numbers().map(np.complex128),
)
ARRAYS = st.one_of(
    arrays.arrays(
        st.one_of(arrays.scalar_dtypes(), st.just(np.dtype(object))),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
    ),
    arrays.arrays(np.int64, arrays.array_shapes(min_dims=1, max_dims=2, max_side=4), elements=st.integers(0, 50)),
)
JUNK = st.recursive(
    st.one_of(st.none(), NUMBERS, ARRAYS, st.text(max_size=5), st.binary(max_size=4), st.just(object())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=2),
        st.frozensets(NUMBERS, max_size=3),
    ),
    max_leaves=8,
)
FIELDS = sorted(set(EditRequest.__dataclass_fields__) - {"image"})


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=4))
@example({"mode": "remove", "prompt": "", "target": "x", "seed": np.array([1, 2])})
@example({"mode": np.array(["remove", "replace"])})
@example({"fill": np.array(["blur", "noise"])})
@example({"guidance_scale": 10**400})
@example({"strength": np.complex128(1)})
@example({"candidate": np.array([1, 2])})
@example({"mode": None})
def test_whatever_a_field_is_it_acts_or_is_refused(fields):
    request = None
    with contextlib.suppress(InvalidInput):
        request = edit(**fields)
    if request is None:
        assert refused(**fields).param in FIELDS
        return
    assert request.mode in ("replace", "remove")
    where = request.where
    assert all(are_plain(point) and 0 <= point[0] < 48 and 0 <= point[1] < 64 for point in where.points)
    assert len(where.labels) == len(where.points)
    assert where.box is None or are_plain(where.box)


@settings(max_examples=200, deadline=None)
@given(JUNK)
def test_whatever_a_picture_is_it_is_one_or_is_refused(image):
    with pytest.raises(InvalidInput) as caught:
        edit(image=image)
    assert caught.value.param == "image"


KINDS = (list, tuple, np.array, lambda rows: [np.array(row) for row in rows], lambda rows: np.array(rows, float))


@given(
    st.lists(st.tuples(st.integers(0, 47), st.integers(0, 63)), min_size=1, max_size=5, unique=True),
    st.sampled_from(KINDS),
    st.sampled_from(KINDS[:3]),
)
def test_points_of_every_kind_are_the_same(points, kind, kind_of_labels):
    labels = [1, *(index % 2 for index in range(1, len(points)))]
    where = edit(points=kind(points), labels=kind_of_labels(labels)).where
    assert (where.points, where.labels) == (tuple(points), tuple(labels))


# All of them, or one


def test_all_means_every_one_and_without_it_the_words_say():
    assert [wording.every for wording in edit(target="the coin").where.wordings] == [False]
    assert [wording.every for wording in edit(target="the coin", all=True).where.wordings] == [True]
    assert [wording.every for wording in edit(target="the coin", all=False).where.wordings] == [False]
    locate = LocateRequest(IMAGE, "the coin left of the dog", all=True)
    (wording,) = complete_locate(locate, SETTINGS).wordings
    assert (wording.every, wording.order) == (True, None)
    assert wording.relation is not None


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("all", {"all": 1}),
        ("all", {"all": "true"}),
        ("all", {"all": True, "target": "the left coin"}),
        ("all", {"all": True, "target": "the second largest coin"}),
        ("all", {"all": True, "target": "the small coin"}),  # as "the small coins" are
        ("all", {"all": True, "points": (3, 4)}),
        ("all", {"all": True, "box": (0, 0, 9, 9)}),
        ("all", {"all": True, "mask": MASK}),
        ("candidate", {"all": True, "target": "the coin", "candidate": 0}),
    ],
    ids=repr,
)
def test_all_is_refused_where_something_else_says_which(param, fields):
    assert refused(**fields).param == param


def test_one_of_those_in_a_part_of_the_picture_is_the_one_there():
    (every,) = edit(target="all the coins on the left").where.wordings
    (one,) = edit(target="all the coins on the left", all=False).where.wordings
    assert (every.every, every.order, one.every, one.among) == (True, None, False, None)
    assert one.order == every.among
