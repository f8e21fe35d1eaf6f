"""What strokes drawn over a picture mean: a box for a loop, a point for anything else."""

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from deployments.errors import InvalidInput
from deployments.limits import Limits
from deployments.pixels import markup
from deployments.pixels.files import decode_markup

SIZE = (400, 300)  # width, height
LIMITS = Limits()


def strokes(*lines, width=5, size=SIZE):
    """Return HxW bool with these lines of points drawn in it."""
    drawn = Image.new("L", size)
    for line in lines:
        ImageDraw.Draw(drawn).line([tuple(point) for point in line], fill=255, width=width)
    return np.asarray(drawn) > 0


def arc(centre, radii, share=1.0, start=0.3):
    """Return points on an ellipse, all around it or a share of that."""
    angles = start + np.linspace(0, 2 * math.pi * share, 60)
    return [(centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles]


def zigzag(left, top, right, bottom, turns=7):
    return [(x, bottom if turn % 2 else top) for turn, x in enumerate(np.linspace(left, right, turns))]


def png(alpha, colour="red"):
    out = io.BytesIO()
    rgb = Image.new("RGB", alpha.shape[::-1], colour)
    Image.merge("RGBA", (*rgb.split(), Image.fromarray(alpha))).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "loop",
    [
        arc((200, 150), (60, 40)),
        arc((200, 150), (60, 40), share=0.9),  # its ends do not meet
        arc((200, 150), (60, 40), share=1.2),  # or overlap
        arc((200, 150), (150, 20)),
        [(140, 110), (260, 110), (260, 190), (140, 190), (140, 110)],
        [(200, 110), (260, 190), (140, 190), (200, 110)],
        arc((20, 150), (60, 40)),
        arc((390, 290), (60, 40)),
        arc((200, 150), (90, 190)),
    ],
    ids=["closed", "open", "overdrawn", "flat", "rectangle", "triangle", "left", "corner", "high"],
)
def test_a_loop_is_the_box_around_it(loop):
    drawn = strokes(loop)
    box, points = markup.meaning_of(drawn)
    rows, columns = np.nonzero(drawn)
    assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert points == ()


@pytest.mark.parametrize(
    "scribble",
    [
        [zigzag(140, 110, 260, 190)],
        [zigzag(140, 110, 260, 190, turns=40)],
        [[(140, 150), (260, 150)]],
        [[(140, 110), (260, 190)], [(140, 190), (260, 110)]],
        [arc((200, 150), (60, 40)), [(140, 150), (260, 150)], [(200, 110), (200, 190)]],
        [arc((200, 150), (60, 40), share=0.55)],
    ],
    ids=["zigzag", "filled", "line", "cross", "crossed out loop", "half a loop"],
)
def test_a_scribble_is_a_point_on_its_strokes_near_its_middle(scribble):
    drawn = strokes(*scribble)
    box, points = markup.meaning_of(drawn)
    assert box is None
    ((x, y),) = points
    assert drawn[y, x]
    rows, columns = np.nonzero(drawn)
    assert math.dist((x, y), (columns.mean(), rows.mean())) < 45


def test_a_dot_is_a_point_in_its_middle_even_if_it_is_a_small_loop():
    for drawn in (strokes([(203, 151), (203, 152)], width=6), strokes(arc((203, 151), (5, 5)), width=1)):
        box, ((x, y),) = markup.meaning_of(drawn)
        assert box is None
        assert math.dist((x, y), (203, 151)) < 2


def test_several_drawings_are_a_point_each():
    both = strokes(arc((90, 80), (50, 40)), zigzag(280, 180, 360, 260))
    box, points = markup.meaning_of(both)
    assert box is None
    (loop,) = [point for point in points if point[0] < 200]
    (scribble,) = [point for point in points if point[0] > 200]
    assert math.dist(loop, (90, 80)) < 4
    assert both[scribble[1], scribble[0]]


@pytest.mark.parametrize("size", [(16, 16), (17, 1000), (4096, 3072), (8192, 40)])
def test_points_and_boxes_lie_in_pictures_of_any_size(size):
    width, height = size
    corner = np.zeros((height, width), bool)
    corner[-1, -1] = True
    ((x, y),) = markup.meaning_of(corner)[1]
    cell = -(-max(size) // markup.GRID)
    assert width - cell <= x < width
    assert height - cell <= y < height
    everywhere = np.ones((height, width), bool)
    box, ((x, y),) = markup.meaning_of(everywhere)
    assert box is None
    assert abs(x - width / 2) <= width / 8
    assert abs(y - height / 2) <= height / 8


def test_loops_at_opposite_borders_are_two():
    box, points = markup.meaning_of(strokes(arc((0, 150), (60, 40)), arc((399, 150), (60, 40))))
    assert box is None
    assert sorted(x < 200 for x, _ in points) == [False, True]
    assert all(abs(y - 150) < 4 for _, y in points)


def test_a_large_loop_keeps_its_pixels():
    drawn = strokes(arc((2001, 1503), (703, 501)), width=9, size=(4096, 3072))
    box, _ = markup.meaning_of(drawn)
    rows, columns = np.nonzero(drawn)
    assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_a_file_says_its_size_and_how_much_is_painted():
    drawn = strokes(arc((200, 150), (60, 40)))
    read = decode_markup(png(drawn * np.uint8(1)), LIMITS)  # hardly visible, and painted
    assert (read.size, read.marked_px) == (SIZE, drawn.sum())
    assert read.box == markup.meaning_of(drawn)[0]


def test_strokes_are_turned_upright_with_the_picture():
    drawn = strokes([(300, 40), (300, 44)], width=6)
    out = io.BytesIO()
    turned = Image.open(io.BytesIO(png(drawn * np.uint8(255))))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(out, "PNG", exif=exif)
    read = decode_markup(out.getvalue(), LIMITS)
    assert read.size == (300, 400)
    assert math.dist(read.points[0], (299 - 42, 300)) < 4


def saved(picture, format="PNG"):
    out = io.BytesIO()
    picture.save(out, format)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (saved(Image.new("RGB", SIZE)), "has no alpha channel"),
        (saved(Image.new("RGB", SIZE), "JPEG"), "has no alpha channel"),
        (png(np.zeros(SIZE[::-1], np.uint8)), "is empty"),
        (png(np.full(SIZE[::-1], 255, np.uint8)), "is nowhere transparent"),
        (png(np.full(SIZE[::-1], 1, np.uint8)), "is nowhere transparent"),
        (
            png(strokes(*[[(x, y), (x + 1, y)] for x in range(20, 380, 40) for y in (40, 200)]) * np.uint8(9)),
            "too many",
        ),
    ],
    ids=["rgb", "jpeg", "empty", "opaque", "faint", "many"],
)
def test_what_is_no_drawing_is_refused_with_what_to_send(data, says):
    with pytest.raises(InvalidInput) as caught:
        decode_markup(data, LIMITS, "markup.image_url")
    assert caught.value.param == "markup.image_url"
    assert caught.value.message.startswith("`markup.image_url` ")
    assert says in caught.value.message
    assert "Send " in caught.value.message


def test_pieces_of_a_loop_do_not_hide_that_there_are_too_many_strokes():
    """The border cuts a loop into two, and twenty dots are beside it."""
    drawn = np.zeros((400, 400), np.uint8)
    drawn[0:60, 100] = drawn[0:60, 300] = 255
    drawn[60, 100:301] = 255
    drawn[55:66, 195:206] = 0
    drawn[350, 20:400:19] = 255
    with pytest.raises(InvalidInput, match="too many strokes"):
        decode_markup(png(drawn), LIMITS, "markup")


def test_noise_is_refused_and_not_looked_at_speck_by_speck():
    noise = np.zeros((2048, 2048), np.uint8)
    noise[::97, ::97] = 255
    with pytest.raises(InvalidInput, match="too many strokes"):
        decode_markup(png(noise), LIMITS)
