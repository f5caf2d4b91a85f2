"""What ends a benchmark without a result."""

__all__ = ["BenchError"]


class BenchError(Exception):
    """Something did not happen that every run needs; the message says what."""
