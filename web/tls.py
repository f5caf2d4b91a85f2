"""What https and wss need: the operator's own certificate, or one that is made here and kept for the next start."""

import contextlib
import ipaddress
import os
import re
import socket
import ssl
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from web.settings import ServerSettings, SettingsError

__all__ = ["Tls", "default_state_dir", "lan_addresses", "open_tls", "pem_fault"]

_ALL_ADDRESSES = {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not bound

_ELSEWHERE = ("192.0.2.1", 9)
"""An address for documentation, behind the default route of any network; nothing is sent there."""

_SECRET = "server.pem"  # noqa: S105 - a file's name
_PUBLIC = "certificate.pem"


@dataclass(frozen=True, slots=True)
class Tls:
    """What the listeners encrypt with."""

    context: ssl.SSLContext
    notes: tuple[str, ...] = ()
    """For the operator: what clients have to trust."""


def open_tls(server: ServerSettings) -> Tls | None:
    """What the settings ask for; None without TLS. Raises `SettingsError`. Reads and writes files, looks up names."""
    if server.tls_cert is not None and server.tls_key is not None:
        return Tls(_own_context(server.tls_cert, server.tls_key))
    if server.tls == "off":
        return None
    directory = (server.state_dir or default_state_dir(os.environ, sys.platform, Path.home())) / "tls"
    try:
        return _self_signed(directory, server.host)
    except OSError as error:
        raise SettingsError(
            f"--tls self-signed cannot keep its key and certificate in {directory}: {error.strerror or error}. "
            "Choose another place with --state-dir."
        ) from None


def default_state_dir(environ: Mapping[str, str], platform: str, home: Path) -> Path:
    """Where programs keep what they make for themselves, by the custom of `platform` (as in `sys.platform`)."""
    if platform == "darwin":
        return home / "Library" / "Application Support" / "omni-duplex"
    variable, otherwise = ("XDG_STATE_HOME", home / ".local" / "state")
    if platform == "win32":
        variable, otherwise = ("LOCALAPPDATA", home / "AppData" / "Local")
    chosen = Path(environ.get(variable, ""))
    return (chosen if chosen.is_absolute() else otherwise) / "omni-duplex"


def pem_fault(certificate: bytes, key: bytes) -> str | None:
    """What is wrong with the two files, as far as it can be seen from outside; None when nothing is."""
    if b"-----BEGIN CERTIFICATE-----" not in certificate:
        return "--tls-cert holds no certificate in PEM format (-----BEGIN CERTIFICATE-----)"
    if b"PRIVATE KEY-----" not in key:
        return "--tls-key holds no private key in PEM format (-----BEGIN PRIVATE KEY-----)"
    if b"ENCRYPTED" in key:
        return "--tls-key has a passphrase, and nobody is there to type it: 'openssl pkey' writes it without"
    return None


def _own_context(certificate: Path, key: Path) -> ssl.SSLContext:
    fault = pem_fault(_read("--tls-cert", certificate), _read("--tls-key", key))
    if fault is not None:
        raise SettingsError(f"{fault}. The files are {certificate} and {key}.")
    try:
        return _context(certificate, key)
    except ssl.SSLError as error:
        why = "the key is not that of the certificate" if error.reason == "KEY_VALUES_MISMATCH" else str(error)
        raise SettingsError(f"--tls-cert {certificate} and --tls-key {key} cannot be used: {why}.") from None


def _read(flag: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{flag} {path} cannot be read: {error.strerror or error}.") from None


def _context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # Without a password OpenSSL would ask the terminal for one, and the server would wait for ever.
    context.load_cert_chain(certificate, key, password="")
    return context


def _self_signed(directory: Path, host: str) -> Tls:
    # Imported here because it loads OpenSSL a second time, which only servers with this flag should pay for.
    from web.certificate import make_pair, read_pair, why_renew  # noqa: PLC0415

    _make_private(directory)
    secret, public = directory / _SECRET, directory / _PUBLIC
    names, now = _own_names(host), datetime.now(UTC)
    pair = read_pair(secret.read_bytes()) if secret.exists() else None
    reason = why_renew(pair.certificate if pair else None, names=names, now=now)
    if pair is None or reason is not None:
        pair = make_pair(names, now)
        _write_private(secret, pair.secret_pem)
    if not public.exists() or public.read_bytes() != pair.public_pem:
        _write_private(public, pair.public_pem)
    for path in (secret, public):
        path.chmod(0o600)
    made = f"new, because {reason}" if reason else "as before"
    notes = (
        f"  Trust   {public}",
        f"          self-signed, {made}; ends {pair.certificate.ends:%Y-%m-%d}",
        f"          SHA-256 {pair.fingerprint}",
    )
    return Tls(_context(secret), notes)


def _make_private(directory: Path) -> None:
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(0o700)


def _write_private(path: Path, content: bytes) -> None:
    """Replace a file as a whole; at no time can others read it, or find half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _own_names(host: str) -> frozenset[str]:
    """What clients may call this machine. IPv6 beyond loopback is left out: its addresses change by the day."""
    name = socket.gethostname()
    named = {"localhost", "127.0.0.1", "::1", name, *lan_addresses(name)}
    if "." not in name:
        named.add(f"{name}.local")
    if host not in _ALL_ADDRESSES:
        named.add(host)
    return frozenset(usable for one in named if (usable := _usable(one)))


def lan_addresses(name: str) -> set[str]:
    """This machine's own IPv4 addresses beside loopback; `name` is its host name. Looks up names, sends nothing."""
    found = set()
    # Without a network the names of the machine itself remain.
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Connecting a datagram socket chooses a route and an address, and sends nothing.
        probe.connect(_ELSEWHERE)
        found.add(str(probe.getsockname()[0]))
    with contextlib.suppress(OSError):  # a name that only this machine knows
        found |= {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, socket.AF_INET)}
    return {address for address in found if not address.startswith("127.")}


def _usable(name: str) -> str | None:
    """As certificates spell it; None for a name that no certificate can hold."""
    try:
        return str(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return name.lower() if re.fullmatch(r"[A-Za-z0-9._-]{1,253}", name) else None
