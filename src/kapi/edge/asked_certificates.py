"""Client certificates that TLS asks for and does not judge.

Go's servers take any certificate that a client can prove to own and let authenticators answer 401;
Python's `ssl` ends the handshake of one that leads to no known CA, and has no callback to say
otherwise. But it shows the messages of a handshake as they come in, and the context of a connection
may be replaced meanwhile, as for SNI. So when a client shows a certificate that none of our CAs
signed, its connection goes on in a context of its own that trusts just this certificate. TLS then
says no more than that the client has the key: who vouches for it, and whether its time has come, is
for `authentication/x509.py`, which looks for itself. It hears of such a certificate alone, of
nothing that was sent beside it: a chain counts only if OpenSSL followed it to a CA of ours.

Messages are shown through `_msg_callback`, which is not public: where there is none, foreign
certificates end the handshake as ever. It is called for every record, so a connection leaves the
context that has it once its handshake is done (`handshake_done`).
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

CHAIN_MAX = 10  # certificates of a client that are looked at
CHAINS_MAX = 1024  # remembered; the least recently seen goes first
RSA_BITS_MAX = 8192  # of a stranger's key
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME
_HANDSHAKE, _CERTIFICATE = 22, 11  # a content type, and a message of it
_TLS_13 = 0x304
_HEADER_BYTES = 4
_Make = Callable[[], ssl.SSLContext]


class AskingContext(ssl.SSLContext):
    """For handshakes. `quiet`: a context with the same key, for what comes afterwards.

    `chains`: those that were good and hold more than a leaf and its CA, leaf first, by the leaf. A
    client that goes on with a session of before sends no certificates again.
    """

    quiet: ssl.SSLContext
    chains: OrderedDict[bytes, list[bytes]]

    def remember(self, chain: list[bytes]) -> None:
        self.chains[chain[0]] = chain
        self.chains.move_to_end(chain[0])
        if len(self.chains) > CHAINS_MAX:
            self.chains.popitem(last=False)


def ask(context: AskingContext, make: _Make) -> None:
    """From now on ask clients for certificates, and take any. The CAs are loaded already; `make`:
    a context with the same key and no CAs.
    """
    context.verify_mode = ssl.CERT_OPTIONAL
    context.quiet = make()
    context.chains = OrderedDict()
    slot = ssl.SSLContext.__mro__[1].__dict__.get("_msg_callback")
    if slot is None:
        return
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    slot.__set__(context, _Listener(context, make))


def handshake_done(connection: ssl.SSLObject | None) -> None:
    """The messages of this connection are of no more interest."""
    if connection is not None and isinstance(connection.context, AskingContext):
        connection.context = connection.context.quiet


class _Listener:
    """What OpenSSL tells each message to."""

    def __init__(self, context: ssl.SSLContext, make: _Make) -> None:
        self._make = make
        ours = context.get_ca_certs(binary_form=True)
        self._ours = [x509.load_der_x509_certificate(der) for der in ours]

    def __call__(
        self,
        connection: ssl.SSLObject,
        direction: str,
        version: int,
        content: int,
        kind: int,
        data: bytes,
    ) -> None:
        if kind != _CERTIFICATE or content != _HANDSHAKE or direction != "read":
            return
        try:
            chain = sent(data, with_context=version == _TLS_13)
            if not chain or self._leads_home(chain) or _is_costly(chain[0]):
                return
            own = self._make()
            own.load_verify_locations(cadata=chain[0])
        except Exception:  # OpenSSL has words for what is no certificate
            return
        connection.context = own

    def _leads_home(self, chain: Sequence[bytes]) -> bool:
        """Whether a CA of ours signed one of these: then OpenSSL shall look."""
        shown = map(x509.load_der_x509_certificate, chain[:CHAIN_MAX])
        return any(_signed(certificate, ca) for certificate in shown for ca in self._ours)


def _is_costly(certificate: bytes) -> bool:
    """Whether its key would take long to check, which Go does not do either."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return isinstance(key, rsa.RSAPublicKey) and key.key_size > RSA_BITS_MAX


def _signed(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    if certificate.issuer != ca.subject:
        return False
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def sent(message: bytes, *, with_context: bool) -> list[bytes]:
    """The certificates in a handshake's Certificate message, leaf first. Raises ValueError."""
    rest = memoryview(message)[_HEADER_BYTES:]
    if with_context:  # TLS 1.3
        _, rest = _vector(rest, 1)
    listed, _ = _vector(rest, 3)
    found = []
    while len(listed):
        certificate, listed = _vector(listed, 3)
        if with_context:
            _, listed = _vector(listed, 2)
        found.append(bytes(certificate))
    return found


def _vector(data: memoryview, length_bytes: int) -> tuple[memoryview, memoryview]:
    """What a length in front says, and what follows."""
    end = length_bytes + int.from_bytes(data[:length_bytes], "big")
    if len(data) < end:
        raise ValueError("a message that is too short")
    return data[length_bytes:end], data[end:]
