"""The server's own certificate: what is in it, and when a new one is due."""

import ipaddress
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Certificate", "Pair", "make_pair", "read_pair", "why_renew"]

_LASTS = timedelta(days=397)
"""Apple's systems refuse certificates that hold for 398 days or longer."""

_RENEW_BEFORE_END = timedelta(days=30)
"""A server that was started today may run for weeks."""

_BACKDATED = timedelta(days=1)
"""The clock of a phone may be behind ours."""

_LONGEST_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a decision needs of a certificate. The times are UTC."""

    names: frozenset[str]
    """Host names and addresses it is good for, in lower case."""
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its private key."""

    certificate: Certificate
    public_pem: bytes
    """The certificate alone, for clients to trust."""
    secret_pem: bytes
    """Key and certificate in one piece: a file of it is never half replaced."""
    fingerprint: str
    """SHA-256, as browsers show it: `AB:CD:…`."""


def why_renew(certificate: Certificate | None, *, names: Set[str], now: datetime) -> str | None:
    """Why a new certificate is due on a machine that is called by `names`, or None while the old one does.

    One that names more hosts than these does: a network that was left may come back.
    """
    if certificate is None:
        return "there is none yet that can be read"
    if now < certificate.begins:
        return "it is not valid yet"
    if now >= certificate.ends:
        return "it is no longer valid"
    if now >= certificate.ends - _RENEW_BEFORE_END:
        return "it ends soon"
    missing = sorted(name for name in names if name.lower() not in certificate.names)
    return f"it does not name {', '.join(missing)}" if missing else None


def make_pair(names: Set[str], now: datetime) -> Pair:
    """A new key and a certificate for `names`, signed with it.

    It is no authority: who trusts it trusts this server, and nothing it could sign for others.
    """
    alternatives = [_general_name(name) for name in sorted(names)]
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "omni-duplex"),
            x509.NameAttribute(NameOID.COMMON_NAME, _common_name(alternatives)),
            # OpenSSL looks its trusted ones up by their subject, and of two with the same it would find only one.
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}"),
        ]
    )
    key_usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now - _BACKDATED + _LASTS)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def read_pair(secret_pem: bytes) -> Pair | None:
    """The pair in a file written earlier; None when it is not whole, or not one of ours."""
    try:
        key = serialization.load_pem_private_key(secret_pem, password=None)
        certificate = x509.load_pem_x509_certificate(secret_pem)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
            return None
        return _pair(certificate, key)
    except (TypeError, ValueError, x509.ExtensionNotFound):
        return None


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = [str(name.value).lower() for name in alternatives]
    public_pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(
        Certificate(frozenset(names), certificate.not_valid_before_utc, certificate.not_valid_after_utc),
        public_pem,
        key_pem + public_pem,
        certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def _common_name(alternatives: list[x509.GeneralName]) -> str:
    """What people see in a list of certificates: the machine's name, where it fits."""
    names = [name.value for name in alternatives if isinstance(name, x509.DNSName)]
    return next((name for name in names if name != "localhost" and len(name) <= _LONGEST_COMMON_NAME), "localhost")


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
