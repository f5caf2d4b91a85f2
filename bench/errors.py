"""What ends a benchmark without a result."""

__all__ = ["BenchError", "cause"]


class BenchError(Exception):
    """Something did not happen that every run needs; the message says what."""


def cause(error: Exception) -> BenchError | None:
    """What to tell the user, out of whatever groups it is in; None when anything else failed too, which is a bug."""
    if isinstance(error, BenchError):
        return error
    if not isinstance(error, ExceptionGroup):
        return None
    causes = [cause(inner) for inner in error.exceptions]
    return causes[0] if all(causes) else None
