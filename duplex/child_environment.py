"""What a child process is told of the server's environment: what programs need, by name, and nothing else.

A list of what may pass, because nobody can list every name under which a secret is kept.
"""

import os
from collections.abc import Iterable, Mapping

__all__ = ["child_environment", "prepended"]

_FOR_EVERY_PROGRAM = (
    # Where things are, and how words and times are written.
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TEMP", "TMP", "XDG_*",
    # Where its libraries are, and which Python it is.
    "LD_LIBRARY_PATH", "DYLD_*", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV",
    # Without these nothing starts on Windows.
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
    "PROGRAMDATA", "NUMBER_OF_PROCESSORS", "PROCESSOR_*",
)  # fmt: skip
_SECRET_ENDINGS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS")


def child_environment(inherited: Mapping[str, str], also: Iterable[str] = ()) -> dict[str, str]:
    """What of `inherited` a child may know: what every program needs, and the names in `also`.

    A name that ends in `*` stands for all that begin so; case is ignored, as Windows does. What looks like a secret by
    its name never passes.
    """
    names = (*_FOR_EVERY_PROGRAM, *also)
    exact = {name for name in names if not name.endswith("*")}
    beginnings = tuple(name[:-1] for name in names if name.endswith("*"))
    return {
        name: value
        for name, value in inherited.items()
        if (name.upper() in exact or name.upper().startswith(beginnings)) and not name.upper().endswith(_SECRET_ENDINGS)
    }


def prepended(old: str | None, *first: str) -> str:
    """A list of directories in a variable, with others before them."""
    return os.pathsep.join((*first, old) if old else first)
