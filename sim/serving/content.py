"""Shared prefixes of requests as a tree: which of their blocks a cache may find."""

from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

import numpy as np

from sim.kernels.requests import CONTENT_COLUMNS, PARENT, START
from sim.types import Ints


class Content(NamedTuple):
    """Requests as paths from a root of a tree; requests on the same path share that prefix.

    A block of an engine belongs to the first node that reaches its end, so a tree serves engines
    with any size of blocks.
    """

    nodes: Ints  # (node, CONTENT_COLUMNS): its parent or -1, tokens before it
    leaf: Ints  # (request,) its last node, or -1
    told: Ints  # (request,) leading tokens, prompt and output, that the tree covers
    deepest: int  # number of nodes on the longest path


NOTHING_TOLD: Final = Content(
    np.zeros((0, CONTENT_COLUMNS), np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), 0
)


def content_of(hashes: Sequence[Sequence[Hashable]], block: int, tokens: Ints) -> Content:
    """The tree of prefixes described by block hashes.

    Args:
        hashes: for each request one hash per `block` tokens from the first token on; requests
            with equal hashes up to a block are equal up to there.
        block: tokens per hash; the last one of a request may cover fewer.
        tokens: (request,) most tokens that the hashes cover.
    """
    children: dict[tuple[int, Hashable], int] = {}
    parents: list[int] = []
    depths: list[int] = []
    ends: list[int] = []
    for mine in hashes:
        node = -1
        for before, one in enumerate(mine):
            known = children.setdefault((node, one), len(parents))
            if known == len(parents):
                parents.append(node)
                depths.append(before)
            node = known
        ends.append(node)
    parent, depth = np.array(parents, dtype=np.int64), np.array(depths, dtype=np.int64)
    count = np.bincount(parent[parent >= 0], minlength=len(parent))
    # A node that is its parent's only child is merged into it.
    begins = np.array([p < 0 or count[p] != 1 for p in parents], dtype=np.bool_)
    number = np.cumsum(begins) - 1
    top = np.zeros(len(parent), dtype=np.int64)  # index of the node that each is merged into
    level = np.zeros(len(parent), dtype=np.int64)
    for i, p in enumerate(parents):
        top[i] = number[i] if begins[i] else top[p]
        level[i] = (level[p] if p >= 0 else 0) + int(begins[i])
    nodes = np.zeros((int(begins.sum()), CONTENT_COLUMNS), dtype=np.int64)
    above = parent[begins]
    nodes[:, PARENT] = np.where(above >= 0, top[above], -1) if len(above) else 0
    nodes[:, START] = depth[begins] * block
    leaf = np.array([top[node] if node >= 0 else -1 for node in ends], dtype=np.int64)
    covered = np.array([len(mine) for mine in hashes], dtype=np.int64) * block
    told = np.minimum(covered, np.asarray(tokens, dtype=np.int64))
    return Content(nodes, leaf, told, int(level.max(initial=0)))
