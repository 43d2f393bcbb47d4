"""The bytes of each provider, as Go's libraries make them of the same keys and random bytes."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from kapi.encryption.envelope import SeedAesGcm
from kapi.encryption.local_keys import AesCbc, AesGcm, Random, Secretbox
from kapi.encryption.transformers import Transformer, TransformError

VALUE = b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}'
KEY = b"/registry/secrets/default/a"
# Made with crypto/aes, crypto/cipher, x/crypto/nacl/secretbox and x/crypto/hkdf. The key is 1, 2, 3
# and so on, all random bytes 100, 101, 102 and so on.
VECTORS = {
    "aescbc16": (
        "6465666768696a6b6c6d6e6f70717273a8760d9bc5414684e8e1bb639d65cf5dedde10e00c673bce23ea"
        "552a99f89c112cb64f5e4dd83f1fbc0caeeee0d00a87bf8df1ec514596b977e9ebe9df8453df"
    ),
    "aescbc24": (
        "6465666768696a6b6c6d6e6f70717273e2929e20c6fee0799c9ba586255fa30044be547dbeeec11d21db"
        "31f7ce153c096f576c3e2ee55f7f0815e697aadd05192de9ea34ea81586b6396f556c1872c50"
    ),
    "aescbc32": (
        "6465666768696a6b6c6d6e6f7071727362b564b3b39fb95923c6e9bcb1dac4521bf4662d75ce32da7973"
        "e2032d5582bdec61af1c9a73b4f5bb6fd669cc6a76c5451e336c2b0e7297edaff6cca8b3ed03"
    ),
    "aesgcm16": (
        "6465666768696a6b6c6d6e6f507a9791e3505e1a8d070e636847ad77e44b893758fbaeac2708c78a2740"
        "0a16a6abb69981a1c97aecb72e2aa6ffc144ad2db71362f63cd3d9ab18871e21fd8616a2b72c967b30f2"
        "53733a"
    ),
    "aesgcm24": (
        "6465666768696a6b6c6d6e6fdf0a15cff3cbd26805d1c1dcc4dc6bfd72bd6a38e7da054304eb4bd53edb"
        "d7f5a3394b975601633b0b49ca7758644f4f0613e21c1536ee02d5c4f54e0874ccf58be45c05b12cfd29"
        "e74708"
    ),
    "aesgcm32": (
        "6465666768696a6b6c6d6e6f1b7d1825ffe69e43da04cafb6a498c1ed8bd79bb96b09273d3bb8d915bdb"
        "cb054ea2f467e4709f666e75fb1864289c47848ce5afda459eb8a487f2907ae2aa14e904daeb444a10de"
        "34c2e4"
    ),
    "hkdf32": (
        "6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182836465666768696a6b6c6d"
        "6e6fd4ebb2dbd8e1a9269c0e7c092073026568c2db32c5c2cb3cacc5152d0ef0a3b06c25dfdf7c82dbd2"
        "37376bf901320473f00385177d329e02065869a00b872586ef0a2f994c2db038dbaa89"
    ),
    "secretbox32": (
        "6465666768696a6b6c6d6e6f707172737475767778797a7bfb56acfd34cdcadad8111ca80ee265202f74"
        "5eedbda77e301cd947280a41558b0ce39fb801882dc35496b386f419643c577a82e13b868f3a97c1e63a"
        "af0bfae46c7984e92556dca89823ef"
    ),
}
KINDS: dict[str, Callable[[bytes, Random], Transformer]] = {
    "aescbc": AesCbc,
    "aesgcm": AesGcm,
    "secretbox": Secretbox,
    "hkdf": SeedAesGcm,
}


def counted(size: int) -> bytes:
    return bytes(range(100, 100 + size))


def made(name: str) -> Transformer:
    return KINDS[name[:-2]](bytes(range(1, 1 + int(name[-2:]))), counted)


@pytest.mark.parametrize("name", VECTORS)
def test_the_bytes_are_those_of_go(name: str) -> None:
    transformer = made(name)
    assert transformer.write(VALUE, KEY).hex() == VECTORS[name]
    assert transformer.read(bytes.fromhex(VECTORS[name]), KEY) == (VALUE, False)


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100_000])
def test_every_size_comes_back(name: str, size: int) -> None:
    transformer = made(name)
    assert transformer.read(transformer.write(b"v" * size, KEY), KEY) == (b"v" * size, False)


@pytest.mark.parametrize("kind", KINDS)
def test_random_bytes_are_new_each_time(kind: str) -> None:
    transformer = KINDS[kind](bytes(32), os.urandom)
    assert len({transformer.write(VALUE, KEY) for _ in range(50)}) == 50


@pytest.mark.parametrize("name", ["aesgcm32", "hkdf32"])
def test_a_value_is_bound_to_its_key(name: str) -> None:
    with pytest.raises(TransformError, match="cipher: message authentication failed"):
        made(name).read(bytes.fromhex(VECTORS[name]), b"/registry/secrets/default/b")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("aesgcm32", "cipher: message authentication failed"),
        ("hkdf32", "cipher: message authentication failed"),
        ("secretbox32", "output array was not large enough for encryption"),
    ],
)
def test_a_changed_value_is_refused(name: str, text: str) -> None:
    whole = bytes.fromhex(VECTORS[name])
    for at in range(len(whole)):
        data = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
        with pytest.raises(TransformError) as error:
            made(name).read(data, KEY)
        assert str(error.value) == text


@pytest.mark.parametrize("name", VECTORS)
def test_a_cut_value_is_refused(name: str) -> None:
    whole = bytes.fromhex(VECTORS[name])
    for size in range(len(whole)):
        try:
            value, _ = made(name).read(whole[:size], KEY)
        except TransformError:
            continue
        # Padding alone says little: what is left of it may look right by chance, but is cut.
        assert name.startswith("aescbc")
        assert value != VALUE


def test_what_is_wrong_with_cbc_is_said() -> None:
    transformer = made("aescbc16")
    for data, text in (
        (b"short", "the stored data was shorter than the required size"),
        (bytes(17), "the stored data is not a multiple of the block size"),
        (bytes(16), "invalid PKCS7 data (empty or not padded)"),
    ):
        with pytest.raises(TransformError) as error:
            transformer.read(data, KEY)
        assert str(error.value) == text
    # The last byte of the plain text says how long the padding is: changed by the block before it.
    whole = bytearray(bytes.fromhex(VECTORS["aescbc16"]))
    for change, text in (
        (0xFF, "invalid PKCS7 data (empty or not padded)"),
        (0x07, "invalid padding on input"),
    ):
        data = bytes((*whole[:-17], whole[-17] ^ change, *whole[-16:]))
        with pytest.raises(TransformError) as error:
            transformer.read(data, KEY)
        assert str(error.value) == text
