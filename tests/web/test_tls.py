"""https and wss: the files, and a real server with a client that trusts it and one that does not."""

import asyncio
import json
import os
import ssl
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import soundfile
import uvicorn
from cryptography.hazmat.primitives import serialization
from rich.console import Console
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_sync

from http_compat.minicpmo_cpp_http_server import OLD_BANNER
from tests.web.speech import MICROPHONE_RATE_HZ, speech
from web import cli
from web.app import server_config
from web.banner import Ports
from web.certificate import make_pair, read_pair
from web.settings import ServerSettings, SettingsError, load_settings
from web.start import _listen
from web.talk import TalkError, TalkOptions, talk
from web.tls import Tls, _own_names, _usable, default_state_dir, open_tls, pem_fault

ROOT = Path(__file__).parents[2]
HOME = Path("/h/me")
OWN = make_pair({"localhost", "127.0.0.1"}, datetime.now(UTC))
OTHER = make_pair({"localhost"}, datetime.now(UTC))
KEY_PEM = OWN.secret_pem.removesuffix(OWN.public_pem)
LOCKED_PEM = serialization.load_pem_private_key(KEY_PEM, None).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"secret"),
)


def self_signed(state_dir: Path, host: str = "127.0.0.1") -> Tls:
    tls = open_tls(ServerSettings(tls="self-signed", state_dir=state_dir, host=host))
    assert tls is not None
    return tls


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- what is asked for


def test_without_the_flag_there_is_no_tls_and_nothing_is_written(tmp_path: Path) -> None:
    assert open_tls(ServerSettings(state_dir=tmp_path)) is None
    assert not list(tmp_path.iterdir())


def test_the_library_is_only_loaded_when_a_certificate_is_made() -> None:
    code = "import sys, web.app, web.cli, web.talk; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"server.tls_cert": "c.pem"}, "--tls-cert and --tls-key belong together"),
        ({"server.tls_key": "k.pem"}, "--tls-cert and --tls-key belong together"),
        ({"server.tls": "self-signed", "server.tls_cert": "c", "server.tls_key": "k"}, "give one of the two"),
        ({"server.tls": "acme"}, "--tls: "),
        ({"server.tls": "self-signed", "registration.url": "http://b:1"}, "calls both of our ports by http"),
        ({"server.tls_cert": "c", "server.tls_key": "k", "registration.url": "http://b:1"}, "exclude each other"),
    ],
)
def test_what_does_not_go_together(flags: Mapping[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(flags, {})


@pytest.mark.parametrize(
    ("flags", "scheme"),
    [
        ({}, "http"),
        ({"server.tls": "off"}, "http"),
        ({"server.tls": "self-signed"}, "https"),
        ({"server.tls_cert": "c", "server.tls_key": "k"}, "https"),
    ],
)
def test_the_scheme(flags: Mapping[str, object], scheme: str) -> None:
    assert load_settings(flags, {}).scheme == scheme


def test_the_old_script_says_it_as_well() -> None:
    settings = load_settings({"server.tls": "self-signed"}, {})
    printed = OLD_BANNER.opening(settings, Ports(9060, 9061))
    assert "https://127.0.0.1:9060" in printed
    assert "https://127.0.0.1:9061" in printed
    assert "http://" not in printed


# --- where it is kept


@pytest.mark.parametrize(
    ("environ", "platform", "directory"),
    [
        ({}, "linux", "/h/me/.local/state/omni-duplex"),
        ({"XDG_STATE_HOME": "/state"}, "linux", "/state/omni-duplex"),
        ({"XDG_STATE_HOME": "state"}, "linux", "/h/me/.local/state/omni-duplex"),
        ({"XDG_STATE_HOME": ""}, "freebsd14", "/h/me/.local/state/omni-duplex"),
        ({"XDG_STATE_HOME": "/state"}, "darwin", "/h/me/Library/Application Support/omni-duplex"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/omni-duplex"),
        ({}, "win32", "/h/me/AppData/Local/omni-duplex"),
    ],
)
def test_the_state_directory(environ: Mapping[str, str], platform: str, directory: str) -> None:
    assert default_state_dir(environ, platform, HOME) == Path(directory)


def test_key_and_certificate_are_for_nobody_else(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    previous = os.umask(0)
    try:
        self_signed(state)
    finally:
        os.umask(previous)
    assert {path.name: mode(path) for path in (state / "tls").iterdir()} == {
        "server.pem": 0o600,
        "certificate.pem": 0o600,
    }
    assert (mode(state), mode(state / "tls")) == (0o700, 0o700)
    assert b"PRIVATE" not in (state / "tls" / "certificate.pem").read_bytes()


def test_what_others_could_read_is_closed_and_a_directory_of_the_user_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    self_signed(tmp_path)
    (tmp_path / "tls").chmod(0o755)
    (tmp_path / "tls" / "server.pem").chmod(0o644)
    self_signed(tmp_path)
    assert (mode(tmp_path), mode(tmp_path / "tls"), mode(tmp_path / "tls" / "server.pem")) == (0o755, 0o700, 0o600)


def test_it_is_used_again(tmp_path: Path) -> None:
    first = self_signed(tmp_path)
    written = (tmp_path / "tls" / "server.pem").read_bytes()
    again = self_signed(tmp_path)
    assert (tmp_path / "tls" / "server.pem").read_bytes() == written
    assert "new, because there is none yet" in first.notes[1]
    assert "as before" in again.notes[1]
    assert first.notes[2] == again.notes[2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"half a fi", "there is none yet that can be read"),
        (make_pair(_own_names("127.0.0.1"), datetime.now(UTC) - timedelta(days=500)).secret_pem, "no longer valid"),
        (OTHER.secret_pem, "it does not name "),
    ],
    ids=["damaged", "expired", "other names"],
)
def test_it_is_renewed(content: bytes, reason: str, tmp_path: Path) -> None:
    self_signed(tmp_path)
    secret, public = tmp_path / "tls" / "server.pem", tmp_path / "tls" / "certificate.pem"
    before = public.read_bytes()
    secret.write_bytes(content)
    tls = self_signed(tmp_path)
    assert reason in tls.notes[1]
    pair = read_pair(secret.read_bytes())
    assert pair is not None
    assert public.read_bytes() == pair.public_pem != before
    assert pair.certificate.names == _own_names("127.0.0.1")
    assert pair.certificate.ends > datetime.now(UTC)


def test_the_address_it_listens_on_is_named(tmp_path: Path) -> None:
    self_signed(tmp_path)
    assert "it does not name voice.example" in self_signed(tmp_path, "Voice.example").notes[1]
    assert "as before" in self_signed(tmp_path, "0.0.0.0").notes[1]


def test_the_public_file_is_put_back(tmp_path: Path) -> None:
    self_signed(tmp_path)
    (tmp_path / "tls" / "certificate.pem").unlink()
    self_signed(tmp_path)
    pair = read_pair((tmp_path / "tls" / "server.pem").read_bytes())
    assert pair is not None
    assert (tmp_path / "tls" / "certificate.pem").read_bytes() == pair.public_pem


def test_a_directory_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(SettingsError, match=r"cannot keep its key .*file.*--state-dir"):
        self_signed(tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("Voice-1.Local", "voice-1.local"),
        ("192.168.1.20", "192.168.1.20"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("büro", None),
        ("two words", None),
        ("", None),
    ],
)
def test_names_as_a_certificate_spells_them(name: str, usable: str | None) -> None:
    assert _usable(name) == usable


# --- the operator's own


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        (None, KEY_PEM, r"--tls-cert .*cert\.pem cannot be read: No such file"),
        (OWN.public_pem, None, r"--tls-key .*key\.pem cannot be read: No such file"),
        (b"\x30\x82", KEY_PEM, "--tls-cert holds no certificate in PEM format"),
        (KEY_PEM, KEY_PEM, "--tls-cert holds no certificate in PEM format"),
        (OWN.public_pem, OWN.public_pem, "--tls-key holds no private key"),
        (OWN.public_pem, LOCKED_PEM, "--tls-key has a passphrase"),
        (OTHER.public_pem, KEY_PEM, "the key is not that of the certificate"),
        (OWN.public_pem[:100], KEY_PEM, "cannot be used"),
        (OWN.public_pem, KEY_PEM[:60], "cannot be used"),
    ],
    # Not the certificates, which are others every time.
    ids=lambda value: value if isinstance(value, str) else "pem",
)
def test_bad_files_are_named(certificate: bytes | None, key: bytes | None, message: str, tmp_path: Path) -> None:
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path, content in zip(paths, (certificate, key), strict=True):
        if content is not None:
            path.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        open_tls(ServerSettings(tls_cert=paths[0], tls_key=paths[1]))


def test_good_files_have_no_fault() -> None:
    assert pem_fault(OWN.public_pem, KEY_PEM) is None


# --- a real server


@contextmanager
def server(*flags: str) -> Iterator[list[str]]:
    """Start `omni-duplex serve` on free ports; yields what it printed up to `Ready`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OMNI_DUPLEX_", "REGISTER_"))}
    command = [sys.executable, "-m", "web.cli", "serve", "--port", "0", "--engine", "parrot", *flags]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not (lines and lines[-1].startswith("Ready: ")):
                line = process.stdout.readline()
                assert line, f"the server ended: {lines}"
                lines.append(line.rstrip())
            yield lines
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0


def test_a_client_that_trusts_the_printed_file_gets_in_and_another_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with server("--tls", "self-signed", "--state-dir", str(tmp_path)) as printed:
        url = printed[-1].removeprefix("Ready: ")
        control = next(line.split()[1] for line in printed if line.startswith("  Control "))
        trusted = Path(next(line for line in printed if line.startswith("  Trust ")).removeprefix("  Trust").strip())
        assert url.startswith("https://127.0.0.1:")
        assert control.startswith("https://")
        trusting = ssl.create_default_context(cafile=trusted)

        with httpx.Client(verify=trusting, trust_env=False) as client:
            by_name = url.replace("127.0.0.1", "localhost")
            assert [client.get(f"{one}/status").status_code for one in (url, by_name)] == [200, 200]
            assert client.get(control).json()["status"] == "healthy"
            assert client.post(control.replace("/health", "/omni/break")).status_code == 200
        address = f"{url.replace('https', 'wss')}/v1/realtime"
        with connect_sync(address, ssl=trusting, proxy=None) as socket:
            assert json.loads(socket.recv())["type"] == "session.created"

        with (
            httpx.Client(trust_env=False) as stranger,
            pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            stranger.get(f"{url}/status")
        with pytest.raises(ssl.SSLCertVerificationError):
            connect_sync(address, proxy=None)
        with (
            httpx.Client(trust_env=False) as plain,
            pytest.raises(httpx.RemoteProtocolError),
        ):
            plain.get(f"{url.replace('https', 'http')}/status")

        wav = tmp_path / "in.wav"
        soundfile.write(wav, speech(0.6), MICROPHONE_RATE_HZ)
        assert cli.main(["talk", str(wav), "--url", address, "--trust", str(trusted)]) == 0
        assert "Answer 1: " in capsys.readouterr().out
        assert cli.main(["talk", str(wav), "--url", address]) == 1
        refusal = capsys.readouterr().err
        assert "is not trusted" in refusal
        assert "--trust" in refusal


async def _greet(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "here"})
        await receive()


@asynccontextmanager
async def served(tls: Tls | None) -> AsyncIterator[tuple[uvicorn.Server, str]]:
    """A server in this process, as ours is configured, with its host and port."""
    running = uvicorn.Server(server_config(_greet, tls))
    with _listen("127.0.0.1", 0, "--port") as listener:
        serving = asyncio.create_task(running.serve(sockets=[listener]))
        try:
            yield running, f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            await serving


async def test_an_own_certificate_is_served_and_a_stuck_client_felt_as_early_as_without_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(OWN.public_pem)
    key.write_bytes(KEY_PEM)
    own = open_tls(ServerSettings(tls_cert=certificate, tls_key=key))
    assert own is not None
    assert not own.notes
    trusting = ssl.create_default_context(cafile=certificate)
    limits = []
    for scheme, tls, trust in (("ws", None, None), ("wss", own, trusting)):
        async with (
            served(tls) as (running, address),
            connect(f"{scheme}://{address}/", ssl=trust, proxy=None) as client,
        ):
            assert await client.recv() == "here"
            (connection,) = running.server_state.connections
            limits.append(connection.transport.get_write_buffer_limits()[1])
    assert limits[0] == limits[1]


# --- what `talk` trusts


@pytest.mark.parametrize(
    ("url", "content", "message"),
    [
        ("ws://127.0.0.1:9060/v1/realtime", OWN.public_pem, "write wss://"),
        ("wss://127.0.0.1:9060/v1/realtime", None, "cannot be read: No such file"),
        ("wss://127.0.0.1:9060/v1/realtime", b"junk", "holds no certificate"),
    ],
)
async def test_a_certificate_that_cannot_be_trusted(
    url: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "trust.pem").write_bytes(content)
    soundfile.write(tmp_path / "in.wav", speech(0.1), MICROPHONE_RATE_HZ)
    with pytest.raises(TalkError, match=message):
        await talk(TalkOptions(tmp_path / "in.wav", url=url, trust=tmp_path / "trust.pem"), console=Console())


async def test_a_server_without_tls_is_named_as_one(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", speech(0.1), MICROPHONE_RATE_HZ)
    async with served(None) as (_, address):
        with pytest.raises(TalkError, match="does not speak TLS"):
            await talk(TalkOptions(tmp_path / "in.wav", url=f"wss://{address}"), console=Console())
