"""AES-GCM with a main key, and a secondary one for rotation.

Ciphertext is a nonce of 12 bytes, then what AES-GCM gives: the encrypted bytes and a tag of 16. Nonces are random, so one
key may encrypt 2^32 payloads. Source: NIST SP 800-38D, section 8.3 (read 2026-11-23).
"""

from __future__ import annotations

import os
import re

from levante.encoding.errors import DecryptionFailed, EncodingMisconfigured, PayloadDamaged

NONCE_BYTES = 12
TAG_BYTES = 16

_HEX_KEY = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{48}|[0-9a-fA-F]{64}")

WRONG_KEY = "has to be an AES key in hex: 64 digits for AES-256"


def is_key(text: str) -> bool:
    """Tell whether a text is a key. 128 and 192 bits are taken as well, because the official client takes them."""
    return bool(_HEX_KEY.fullmatch(text))


class PayloadCipher:
    """Encrypts with the main key, decrypts with whichever key fits. For any number of threads."""

    def __init__(self, main_key: str, secondary_key: str | None = None) -> None:
        """Raises: EncodingMisconfigured when `cryptography` is not installed or a key has the wrong form."""
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - only those who encrypt need it
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        except ImportError:
            raise EncodingMisconfigured("encryption needs cryptography: pip install 'levante[encoding]'") from None
        keys = [key for key in (main_key, secondary_key) if key]
        if not all(map(is_key, keys)):
            raise EncodingMisconfigured(f"a key {WRONG_KEY}")
        self._keys = [AESGCM(bytes.fromhex(key)) for key in keys]
        self._mismatch = InvalidTag

    def encrypt(self, data: bytes, bound_to: bytes | None = None) -> bytes:
        """Encrypt. bound_to: what has to be given again to decrypt; it is not in the result."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._keys[0].encrypt(nonce, data, bound_to)

    def decrypt(self, data: bytes, bound_to: bytes | None = None) -> bytes:
        """Decrypt. Raises: PayloadDamaged when the data is too short to be ciphertext; DecryptionFailed."""
        if len(data) < NONCE_BYTES + TAG_BYTES:
            raise PayloadDamaged("an encrypted payload is shorter than a nonce and a tag: it was cut")
        nonce, ciphertext = data[:NONCE_BYTES], data[NONCE_BYTES:]
        for key in self._keys:
            try:
                return key.decrypt(nonce, ciphertext, bound_to)
            except self._mismatch:
                continue
        raise DecryptionFailed(
            "no configured key opens an encrypted payload: it was encrypted with another key, which has to be the main or "
            "secondary one to read it, or it was changed"
        )
