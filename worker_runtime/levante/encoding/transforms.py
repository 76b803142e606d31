"""What is done to the text of a payload, in order: encrypt fields, compress, offload, encrypt.

Fields are encrypted first because nothing after that leaves fields to be found; whole payloads last, so that even the
reference to an offloaded one is encrypted. `encoding_options` lists what was done in this order, and readers undo it
backwards. Source: the official client, 3.7.0 and 2.10.1, which read and write the same (read 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from pydantic_core import PydanticSerializationError, from_json, to_json

from levante.encoding.compression import compressed, decompressed, require_libraries
from levante.encoding.encrypted_fields import with_fields_decrypted, with_fields_encrypted
from levante.encoding.encryption import PayloadCipher
from levante.encoding.errors import EncodingMisconfigured, PayloadNotEncodable
from levante.encoding.limits import OVERHEAD_BYTES, Budget, parsed, too_large
from levante.encoding.settings import EncodingSettings, EncryptionMode
from levante.encoding.wire import Encoded, Transform
from levante.errors import ErrorCode
from levante_core.protocol import Json

Offload = Callable[[bytes], bytes | None]
"""Keeps bytes elsewhere and returns the reference, or None to leave them where they are."""
Fetch = Callable[[bytes], bytes]
"""Returns what is behind a reference."""


class Transforms:
    """Does and undoes what the settings say. For any number of threads."""

    def __init__(self, settings: EncodingSettings) -> None:
        """Raises: EncodingMisconfigured when a library that is needed is not installed."""
        encryption = settings.payload_encryption
        self._compression = settings.payload_compression
        self._most_bytes = settings.max_payload_bytes
        self._mode = encryption.mode if encryption else None
        self._cipher: PayloadCipher | None = None
        if self._compression:
            require_libraries()
        if encryption:
            secondary = encryption.secondary_key
            self._cipher = PayloadCipher(
                encryption.main_key.get_secret_value(), secondary.get_secret_value() if secondary else None
            )

    def do(self, value: Json, offload: Offload | None = None, bound_to: bytes | None = None) -> Encoded:
        """Turn a value into bytes. bound_to: what has to be given again to undo the encryption of the whole.

        Raises: PayloadNotEncodable; what `offload` raises.
        """
        done: list[Transform] = []
        content = _text(value)
        if self._cipher and self._mode is EncryptionMode.PARTIAL:
            plain = from_json(content)
            fields = with_fields_encrypted(plain, self._cipher)
            if fields is not plain:
                content = to_json(fields)
                done.append(Transform.PARTIALLY_ENCRYPTED)
        self._check(content)
        if self._compression and len(content) >= self._compression.min_size_bytes:
            smaller = compressed(content, self._compression.algorithm_config.level)
            if smaller is not None:
                content = smaller
                done.append(Transform.COMPRESSED)
        reference = offload(content) if offload else None
        if reference is not None:
            content = reference
            done.append(Transform.OFFLOADED)
        if self._cipher and self._mode is EncryptionMode.FULL:
            content = self._cipher.encrypt(content, bound_to)
            done.append(Transform.ENCRYPTED)
        return Encoded(content, tuple(done))

    def undo(self, encoded: Encoded, fetch: Fetch, bound_to: bytes | None = None, budget: Budget | None = None) -> Json:
        """Turn bytes into the value again. budget: of it and others that are decoded with it.

        Raises: PayloadUndecodable, EncodingMisconfigured; what `fetch` raises.
        """
        budget = budget or Budget(self._most_bytes)
        most_bytes = min(self._most_bytes, budget.left)
        content = encoded.content
        for transform in reversed(encoded.transforms):
            if len(content) > most_bytes + OVERHEAD_BYTES:
                raise too_large(most_bytes)
            match transform:
                case Transform.ENCRYPTED:
                    content = self.cipher.decrypt(content, bound_to)
                case Transform.OFFLOADED:
                    content = fetch(content)
                case Transform.COMPRESSED:
                    content = decompressed(content, most_bytes)
                case Transform.PARTIALLY_ENCRYPTED:
                    content = to_json(with_fields_decrypted(parsed(content), self.cipher))
                case _:
                    assert_never(transform)
        if len(content) > most_bytes:
            raise too_large(most_bytes)
        budget.spend(len(content))
        return parsed(content)

    @property
    def cipher(self) -> PayloadCipher:
        """What decrypts. Raises: EncodingMisconfigured when there is no key."""
        if self._cipher is None:
            raise EncodingMisconfigured("a payload is encrypted: set TEMPORAL_PAYLOAD_ENCRYPTION__MODE and __MAIN_KEY")
        return self._cipher

    @property
    def encrypts_fields(self) -> bool:
        """Whether it is the fields that are encrypted, not the whole."""
        return self._mode is EncryptionMode.PARTIAL

    def _check(self, text: bytes) -> None:
        """What could not be read again is not written."""
        if len(text) > self._most_bytes:
            raise PayloadNotEncodable(
                f"a payload has {len(text):,} bytes in plain, and {self._most_bytes:,} may be decoded: keep the data "
                "elsewhere and pass a reference, or set LEVANTE_MAX_PAYLOAD_BYTES of all workers that read it",
                ErrorCode.INPUT_SIZE_EXCEEDED_ERROR,
            )


def _text(value: Json) -> bytes:
    """Write a value as JSON that every reader can read again."""
    try:
        text = to_json(value, inf_nan_mode="constants")
        from_json(text, allow_inf_nan=False)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise PayloadNotEncodable(
            f"a payload is no JSON: {type(error).__name__}; give text, finite numbers, lists, dicts "
            "with text as keys, and nothing nested hundreds of levels deep"
        ) from None
    return text
