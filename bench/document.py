"""Where a document keeps a table that a program writes."""

from bench.errors import BenchError

__all__ = ["between"]


def between(document: str, start: str, end: str, drawn: str) -> str:
    """`document` with `drawn` between two marker lines. Raises `BenchError` unless each is there once."""
    if document.count(start) != 1 or document.count(end) != 1 or document.index(start) > document.index(end):
        raise BenchError(f"The document needs the line '{start}' and, after it, the line '{end}', each once.")
    before, _, rest = document.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{drawn}{end}{after}"
