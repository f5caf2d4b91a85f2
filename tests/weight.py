"""How much memory the objects of a test take, to see what grows."""

import contextlib
import gc
import sys
from collections.abc import Iterator

__all__ = ["weighing", "weight"]


@contextlib.contextmanager
def weighing() -> Iterator[None]:
    """`weight` does not look at what was there before the body: it is a hundred times as much."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def weight() -> int:
    """Bytes of all that was made within `weighing`: what the collector knows, and what that refers to."""
    gc.collect()
    known = gc.get_objects()
    leaves = {id(leaf): leaf for item in known for leaf in gc.get_referents(item) if not gc.is_tracked(leaf)}
    return sum(map(sys.getsizeof, known)) + sum(map(sys.getsizeof, leaves.values()))
