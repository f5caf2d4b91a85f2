"""A real server for the tests of a module."""

from collections.abc import Iterator

import pytest

from tests.http_compat.node import Node, running_node


@pytest.fixture(scope="module")
def shared_node() -> Iterator[Node]:
    with running_node() as node:
        yield node


@pytest.fixture
def node(shared_node: Node) -> Iterator[Node]:
    """One server for all tests of a module; each begins without a session and with an engine that works."""
    yield shared_node
    shared_node.until_ready()
    shared_node.end_call()
