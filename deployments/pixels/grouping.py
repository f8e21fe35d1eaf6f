"""Decides which parts of a mask are one thing: parts near each other belong together, distant ones do not.

A dog behind a pole is one thing in two parts, a word is one thing of several glyphs, and two balloons at two ends of a
picture are two things. What counts is the gap between the bounding boxes of the parts, compared with their size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from deployments.pixels.masks import bounding_box

NEARNESS = 0.5  # parts with a gap of up to this share of the larger one's longest side belong together ...
NEAR_PX = 16  # ... and those with a smaller gap always: one square of the smallest size holds them
MOST_GROUPS = 16  # of a plan: beyond that the nearest ones are joined
MOST_PARTS = 1024  # are compared pair by pair; a mask of more parts is looked at through coarser cells


def owners(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return to which group each pixel belongs: HxW uint8, 0 for none, groups numbered from 1.

    `masks` are things that stay apart, HxW bool each; at least one pixel of one is set. A pixel of several belongs to
    the first. Within a mask, the group of the most pixels comes first.
    """
    owner = np.zeros(masks[0].shape, np.uint8)
    most = max(1, MOST_GROUPS // len(masks))
    count = 0
    for mask in masks:
        free = mask & (owner == 0) if count else mask
        if free.any():
            left, top, right, bottom = bounding_box(free)
            window = slice(top, bottom), slice(left, right)
            groups = _grouped(free[window], most)
            owner[window] += np.where(groups, groups + np.uint8(count), np.uint8(0))
            count += int(groups.max())
    return owner


def _grouped(mask: np.ndarray, most: int) -> np.ndarray:
    """Return the group of each pixel, hxw uint8 as in `owners`, of one mask."""
    labels, count, step = _parts(mask)
    if count == 1:
        return mask.astype(np.uint8)
    places = ndimage.find_objects(labels)
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in places]) * step
    groups = merged(boxes, most)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    numbers = _by_size(groups, areas)
    coarse = np.concatenate([[0], numbers]).astype(np.uint8)[labels]
    fine = coarse.repeat(step, axis=0).repeat(step, axis=1)[: mask.shape[0], : mask.shape[1]]
    return np.where(mask, fine, np.uint8(0))


def _parts(mask: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Return the labels of the connected parts, their number, and the side in pixels of the labelled cells."""
    step, around = 1, np.ones((3, 3))
    labels, count = ndimage.label(mask, around)
    while count > MOST_PARTS:
        mask, step = _halved(mask), 2 * step
        labels, count = ndimage.label(mask, around)
    return labels, int(count), step


def _halved(mask: np.ndarray) -> np.ndarray:
    """Return the mask in cells of two by two pixels, set where any of them is."""
    padded = np.pad(mask, [(0, size % 2) for size in mask.shape])
    rows = padded[::2] | padded[1::2]
    return np.asarray(rows[:, ::2] | rows[:, 1::2])


def _by_size(groups: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return the groups' numbers, from 1, such that the largest comes first."""
    totals = np.bincount(groups, weights=areas)
    rank = np.empty(len(totals), int)
    rank[np.argsort(-totals, kind="stable")] = np.arange(1, len(totals) + 1)
    return np.asarray(rank[groups])


def merged(boxes: np.ndarray, most: int = MOST_GROUPS) -> np.ndarray:
    """Return the group of each of `boxes`, Nx4 (left, top, right, bottom): at most `most` groups, numbered from 0."""
    groups = np.arange(len(boxes))
    while True:
        gaps = _gaps(boxes)
        count, joined = connected_components(gaps <= _reach(boxes), directed=False)
        if count == len(boxes):
            return groups if count <= most else _nearest(gaps, most)[groups]
        groups, boxes = joined[groups], _hulls(boxes, joined)


def _gaps(boxes: np.ndarray) -> np.ndarray:
    """Return the distance of each box from each, NxN; 0 where they touch or overlap."""
    low, high = boxes[:, :2], boxes[:, 2:]
    apart = np.maximum(0, np.maximum(low[:, None] - high[None], low[None] - high[:, None]))
    return np.asarray(np.hypot(apart[..., 0], apart[..., 1]))


def _reach(boxes: np.ndarray) -> np.ndarray:
    """Return up to which gap two boxes belong together, NxN."""
    longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return np.maximum(NEAR_PX, NEARNESS * np.maximum(longest[:, None], longest[None]))


def _nearest(gaps: np.ndarray, most: int) -> np.ndarray:
    """Return `most` groups of which the nearest neighbours are in one: single linkage, from the spanning tree."""
    tree = minimum_spanning_tree(np.triu(gaps + 1, 1)).tocoo()  # a gap of 0 would be no edge
    kept = np.argsort(tree.data, kind="stable")[: len(gaps) - most]
    linked = np.zeros(gaps.shape, bool)
    linked[tree.row[kept], tree.col[kept]] = True
    return np.asarray(connected_components(linked, directed=False)[1])


def _hulls(boxes: np.ndarray, joined: np.ndarray) -> np.ndarray:
    """Return the boxes around the boxes of each group."""
    around = np.empty((joined.max() + 1, 4), boxes.dtype)
    around[:, :2], around[:, 2:] = boxes.max() + 1, -1
    np.minimum.at(around[:, :2], joined, boxes[:, :2])
    np.maximum.at(around[:, 2:], joined, boxes[:, 2:])
    return around
