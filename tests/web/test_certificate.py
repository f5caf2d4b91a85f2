import contextlib
import ipaddress
import re
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from web.certificate import Certificate, make_pair, read_pair, why_renew

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = frozenset({"localhost", "127.0.0.1", "::1", "voice", "voice.local", "192.168.1.20"})
OLD = Certificate(NAMES, NOW - 100 * DAY, NOW + 100 * DAY)

host_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,20}){0,2}", fullmatch=True)
addresses = st.ip_addresses().map(str)


@pytest.mark.parametrize(
    ("certificate", "names", "now", "reason"),
    [
        (OLD, NAMES, NOW, None),
        (OLD, {"localhost"}, NOW, None),
        (OLD, {"VOICE", "LocalHost"}, NOW, None),
        (OLD, set(), OLD.begins, None),
        (OLD, NAMES, OLD.ends - 30 * DAY - timedelta(seconds=1), None),
        (OLD, NAMES, OLD.ends - 30 * DAY, "it ends soon"),
        (OLD, NAMES, OLD.ends, "it is no longer valid"),
        (OLD, NAMES, OLD.begins - timedelta(seconds=1), "it is not valid yet"),
        (OLD, NAMES | {"192.168.1.21", "b.lan"}, NOW, "it does not name 192.168.1.21, b.lan"),
        (None, NAMES, NOW, "there is none yet that can be read"),
    ],
)
def test_when_a_new_one_is_due(
    certificate: Certificate | None, names: set[str], now: datetime, reason: str | None
) -> None:
    assert why_renew(certificate, names=names, now=now) == reason


@settings(max_examples=10)
@given(st.sets(st.one_of(host_names, addresses), min_size=1, max_size=8))
def test_a_new_one_serves_its_names_until_a_month_before_its_end_and_survives_the_file(names: set[str]) -> None:
    made = make_pair(names, NOW)
    assert made.certificate.names == {name.lower() for name in names}
    assert why_renew(made.certificate, names=names, now=NOW) is None
    assert why_renew(made.certificate, names=names, now=NOW + 360 * DAY) is None
    assert why_renew(made.certificate, names=names, now=NOW + 367 * DAY) == "it ends soon"
    assert read_pair(made.secret_pem) == made


def test_what_clients_ask_of_a_certificate() -> None:
    made = make_pair(NAMES, NOW)
    certificate = x509.load_pem_x509_certificate(made.public_pem)
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(alternatives.get_values_for_type(x509.IPAddress)) == {
        ipaddress.ip_address(address) for address in ("127.0.0.1", "::1", "192.168.1.20")
    }
    assert set(alternatives.get_values_for_type(x509.DNSName)) == {"localhost", "voice", "voice.local"}
    # It must not vouch for other sites in the browser of somebody who trusts it.
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert made.certificate.ends - made.certificate.begins < 398 * DAY
    assert made.certificate.begins <= NOW - DAY
    assert b"PRIVATE" not in made.public_pem
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", made.fingerprint)


def test_each_has_a_key_of_its_own() -> None:
    assert make_pair(NAMES, NOW).secret_pem != make_pair(NAMES, NOW).secret_pem


def test_a_client_can_trust_two_servers_with_the_same_names(tmp_path: Path) -> None:
    pairs = [make_pair({"localhost"}, datetime.now(UTC)) for _ in range(2)]
    for trusted in (pairs, pairs[::-1]):
        client = ssl.create_default_context(cadata="".join(pair.public_pem.decode() for pair in trusted))
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        for pair in pairs:
            (tmp_path / "server.pem").write_bytes(pair.secret_pem)
            server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            server.load_cert_chain(tmp_path / "server.pem")
            assert shake_hands(client, server) == x509.load_pem_x509_certificate(pair.public_pem).serial_number


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> int:
    """The serial number of the certificate that the client has accepted. Raises `ssl.SSLError`."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    calling = client.wrap_bio(back, there, server_hostname="localhost")
    called = server.wrap_bio(there, back, server_side=True)
    for end in (calling, called, calling, called):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    accepted = calling.getpeercert()
    assert accepted is not None
    return int(str(accepted["serialNumber"]), 16)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (NAMES, "voice"),
        ({"127.0.0.1", "localhost"}, "localhost"),
        ({"127.0.0.1"}, "localhost"),
        ({".".join(["a" * 60] * 3), "b.lan"}, "b.lan"),
    ],
)
def test_people_see_the_name_of_the_machine(names: set[str], shown: str) -> None:
    certificate = x509.load_pem_x509_certificate(make_pair(names, NOW).public_pem)
    (common_name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert common_name.value == shown


MADE, OTHER = make_pair(NAMES, NOW), make_pair(NAMES, NOW)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        MADE.public_pem,
        MADE.secret_pem.removesuffix(MADE.public_pem),
        MADE.secret_pem[:-200],
        MADE.secret_pem[100:],
        MADE.secret_pem.replace(MADE.public_pem, OTHER.public_pem),
    ],
    ids=["empty", "zeros", "no key", "no certificate", "end missing", "start missing", "another's certificate"],
)
def test_a_damaged_file_is_none(content: bytes) -> None:
    assert read_pair(content) is None
