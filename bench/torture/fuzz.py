"""`python -m bench.torture.fuzz`: messages that are nearly right, by the million, straight at all that reads them.

Nothing but the refusals that are documented may come out, and none may keep the server busy for long.
"""

import argparse
import json
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from bench.torture.parsers import Parser, parsers

__all__ = ["Batch", "Fuzzed", "batches", "fuzz", "main", "message"]

_MESSAGES = 1_000_000
_QUICK_MESSAGES = 20_000
_BATCH = 2000
_LONGEST_S = 5.0
"""Of CPU time for one message: far beyond what any of these needs."""
_SHOWN = 20
_WORDS = (b"null", b"-1", b"1e999", b"NaN", b'"\\ud800"', b"[" * 3000, b'{"a":' * 1500, b"\xff\xfe", b"\0", b"9" * 400)
_VALUES: Sequence[Any] = (
    None, True, -1, 0, 7, 10**12, 10**400, 0.5, -1e308, "", "word", "root", "====", "\ud800", "A" * 70_000,
    [], {}, [{}], [[[]]], {"type": "x"},
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one parser, by number."""

    parser: str
    seed: int
    first: int
    count: int


@dataclass(slots=True)
class Fuzzed:
    """What came of a batch."""

    parser: str
    understood: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)


def message(parser: Parser, seed: int, number: int) -> bytes:
    """The message of that number: one that is right, with up to four mistakes."""
    choose = random.Random((seed * 1_000_003 + number) ^ hash_of(parser.name))
    content = choose.choice(parser.seeds)
    for _ in range(choose.choice((0, 1, 1, 1, 2, 2, 4))):
        content = _spoil_json(content, choose) if choose.random() < 0.4 else _spoil(content, choose, parser.seeds)
    return content


def hash_of(name: str) -> int:
    """The same in every process, which `hash` is not."""
    return int.from_bytes(name.encode()[:8].ljust(8), "big")


def fuzz(batch: Batch, *, known: dict[str, Parser] | None = None) -> Fuzzed:
    """Read a batch."""
    parser = (known or _parsers_of_this_process())[batch.parser]
    found = Fuzzed(batch.parser)
    for number in range(batch.first, batch.first + batch.count):
        content = message(parser, batch.seed, number)
        began_s = time.thread_time()
        try:
            parser.read(content)
            found.understood += 1
        except parser.refusals:
            found.refused += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            found.failures.append(f"{batch.parser}:{number}: {type(error).__name__}: {error}"[:300])
        took_s = time.thread_time() - began_s
        if took_s > _LONGEST_S:
            found.failures.append(f"{batch.parser}:{number}: took {took_s:.1f} s")
    return found


def batches(seed: int, messages: int, known: Sequence[Parser]) -> Iterator[Batch]:
    """The whole run: every parser its share, the dear ones first."""
    for parser in sorted(known, key=lambda one: one.share):
        rest = max(1, round(messages * parser.share))
        for first in range(0, rest, _BATCH):
            yield Batch(parser.name, seed, first, min(_BATCH, rest - first))


_known: dict[str, Parser] = {}


def _parsers_of_this_process() -> dict[str, Parser]:
    if not _known:
        _known.update(parsers())
    return _known


def _spoil(content: bytes, choose: random.Random, seeds: Sequence[bytes]) -> bytes:
    at = choose.randrange(len(content) + 1)
    end = min(len(content), at + choose.choice((1, 1, 2, 4, 16, 64)))
    spoilers: tuple[Callable[[], bytes], ...] = (
        lambda: content[:at] + choose.randbytes(1) + content[at + 1 :],
        lambda: (
            content[:at] + bytes([content[at] ^ 1 << choose.randrange(8)]) + content[at + 1 :]
            if at < len(content)
            else content
        ),
        lambda: content[:at] + content[end:],
        lambda: content[:end] + content[at:],
        lambda: content[:at],
        lambda: content[:at] + choose.choice(_WORDS) + content[end:],
        lambda: content[:at] + choose.randbytes(choose.randrange(40)) + content[end:],
        lambda: content[:at] + choose.choice(seeds)[at:],
        lambda: content[:at] + choose.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0")) + content[at + 4 :],
    )
    return choose.choice(spoilers)()


def _spoil_json(content: bytes, choose: random.Random) -> bytes:
    """One key, at any depth, gone or with a value from elsewhere; what is no JSON stays as it is."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return content
    here = whole
    while isinstance(here, dict | list) and here:
        key: Any = choose.choice(list(here)) if isinstance(here, dict) else choose.randrange(len(here))
        if isinstance(here[key], dict | list) and here[key] and choose.random() < 0.7:
            here = here[key]
            continue
        if choose.random() < 0.3:
            del here[key]
        else:
            here[key] = choose.choice(_VALUES)
        break
    return json.dumps(whole).encode()


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz. Returns 0 when nothing but refusals came out, 1 otherwise."""
    quick = os.environ.get("QUICK", "0") not in {"", "0"}
    parser = argparse.ArgumentParser(prog="python -m bench.torture.fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=_QUICK_MESSAGES if quick else _MESSAGES, help="(%(default)s)")
    parser.add_argument("--seed", type=int, help="of everything that is random (a new one, which is printed)")
    parser.add_argument("--only", metavar="PARSER:NUMBER", help="show this message, and what comes of it")
    options = parser.parse_args(argv)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    if options.only:
        return _read_one(options.only, seed)
    began_s = time.monotonic()
    counts: Counter[str] = Counter()
    failures: list[str] = []
    plan = list(batches(seed, options.messages, list(parsers().values())))
    try:
        # Not forked: what is imported here may have threads.
        with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_hush) as pool:
            for found in pool.map(fuzz, plan):
                counts["understood"] += found.understood
                counts["refused"] += found.refused
                failures += found.failures
    except BrokenExecutor:
        failures.append("a process crashed")
    for failure in failures[:_SHOWN]:
        print(f"FAILURE --seed {seed} --only {failure}")
    total = counts.total() + len(failures)
    print(
        f"seed {seed}: {total} messages at {len(parsers())} parsers in {time.monotonic() - began_s:.0f} s: "
        f"{counts['understood']} understood, {counts['refused']} refused, {len(failures)} failures"
    )
    return 1 if failures else 0


def _hush() -> None:
    """A library that reads MP3 says on standard error whatever it thinks of them."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _read_one(which: str, seed: int) -> int:
    name, _, number = which.rpartition(":")
    parser = parsers()[name]
    content = message(parser, seed, int(number))
    print(content)
    try:
        parser.read(content)
    except parser.refusals as refusal:
        print(f"refused: {refusal}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
