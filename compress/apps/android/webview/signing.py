"""APK signature scheme v2 (source.android.com/docs/security/features/apksigning/v2), and the key that signs.

A phone takes a new version of an app only from the same key. So the key is kept in the user's own folder, where only
the user can read it, and never in a run.
"""

import datetime
import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.files.atomic import write_atomically
from search_spaces.errors import InputError

CHUNK_BYTES = 1 << 20
ECDSA_SHA256 = 0x0201
BLOCK_MAGIC, V2_ID = b"APK Sig Block 42", 0x7109871A
END_OF_DIRECTORY = b"PK\5\6"
VALID_DAYS = 365 * 30
EXTRA = 'pip install "slimlab[android]"'


@dataclass(frozen=True)
class SigningKey:
    """A private key of the cryptography package, and its self-signed certificate in DER."""

    private: Any
    certificate: bytes


def key_file() -> Path:
    """Says where the key is kept.

    Returns:
        A file in the user's configuration folder.
    """
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "slimlab" / "apk-key.pem"


def load_key(path: Path) -> SigningKey:
    """Reads the key, or makes one the first time.

    Args:
        path: the PEM file with the private key and the certificate.

    Returns:
        The key.

    Raises:
        InputError: the cryptography package is missing, or the file cannot be read or written.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise InputError(f"--webview-apk: the package cryptography is missing; {EXTRA}") from error
    if not path.exists():
        content = _new_key()
        path.parent.mkdir(parents=True, exist_ok=True)
        previous = os.umask(0o077)
        try:
            write_atomically(path, content)
        finally:
            os.umask(previous)
    try:
        content = path.read_bytes()
        private = serialization.load_pem_private_key(content, None)
        certificate = x509.load_pem_x509_certificate(content).public_bytes(serialization.Encoding.DER)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not the key that signs apps ({error}); restore it or move it away") from error
    return SigningKey(private, certificate)


def _new_key() -> bytes:
    """A private key and its certificate as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "SlimLab demo")])
    begun = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begun)
        .not_valid_after(begun + datetime.timedelta(days=VALID_DAYS))
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return secret + certificate.public_bytes(pem)


def sign(apk: bytes, key: SigningKey) -> bytes:
    """Signs an APK.

    Args:
        apk: the zip archive without a signature and without a comment.
        key: the key.

    Returns:
        The archive with the signing block before its central directory.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    end = apk.rindex(END_OF_DIRECTORY)
    (directory,) = struct.unpack_from("<I", apk, end + 16)
    digest = _content_digest(apk[:directory], apk[directory:end], apk[end:])
    algorithm = struct.pack("<I", ECDSA_SHA256)
    signed = _sequence(_sequence(algorithm + _sequence(digest)), _sequence(key.certificate), b"")
    signature = key.private.sign(signed, ec.ECDSA(hashes.SHA256()))
    public = key.private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signer = _sequence(signed, _sequence(algorithm + _sequence(signature)), public)
    value = _sequence(_sequence(signer))
    pair = struct.pack("<QI", 4 + len(value), V2_ID) + value
    size = struct.pack("<Q", len(pair) + 8 + len(BLOCK_MAGIC))
    block = size + pair + size + BLOCK_MAGIC
    tail = bytearray(apk[directory:])
    struct.pack_into("<I", tail, end - directory + 16, directory + len(block))
    return apk[:directory] + block + bytes(tail)


def _content_digest(*sections: bytes) -> bytes:
    """The digest of the digests of all chunks of 1 MiB."""
    chunks = [part[at : at + CHUNK_BYTES] for part in sections for at in range(0, len(part), CHUNK_BYTES)]
    digests = [hashlib.sha256(b"\xa5" + struct.pack("<I", len(chunk)) + chunk).digest() for chunk in chunks]
    return hashlib.sha256(b"\x5a" + struct.pack("<I", len(chunks)) + b"".join(digests)).digest()


def _sequence(*parts: bytes) -> bytes:
    """Each part after its length."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)
