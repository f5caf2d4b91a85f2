"""What ends a conformance run without a result."""

__all__ = ["ConformanceError"]


class ConformanceError(Exception):
    """Something did not happen that every run needs; the message says what, and what to do."""
