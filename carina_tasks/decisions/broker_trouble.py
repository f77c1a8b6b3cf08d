"""What an error of the broker's connection means, in one sentence, and what to do about it.

Pure: an exception of a library is handed in, and its text read. Reasons of OpenSSL are those of
``openssl errstr`` and X509_verify_cert_error_string(3); Redis' words are those of its replies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_LONGEST: Final = 300
"""Characters of a library's text that are shown."""

_DEEPEST: Final = 8
"""Causes of an error that are read."""

MEANINGS: Final = (
    (
        "certificate has expired",
        "its certificate has expired: renew it on the server (or set this machine's clock)",
    ),
    (
        "certificate is not yet valid",
        "its certificate is not valid yet: set the clock of this machine or of the server",
    ),
    (
        r"[Hh]ostname mismatch|IP address mismatch|doesn't match|is not valid for",
        "its certificate is for another host: use the name that stands in the certificate in "
        "CARINA_TASKS_BROKER_URL, or give the server a certificate for this one",
    ),
    (
        # What OpenSSL says of a certificate when it is strict, as Python asks for since 3.13.
        r"does not include key usage|Missing (Authority|Subject) Key Identifier"
        r"|not marked critical|Identifier marked critical|Path length (given|invalid)"
        r"|keyCertSign invalid",
        "its certificate or its authority's breaks RFC 5280, which Python 3.13 and newer refuse: "
        "make the authority again with keyUsage (keyCertSign) and critical basicConstraints, and "
        "the certificate with authorityKeyIdentifier",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "its certificate comes from an authority that is not trusted: set CARINA_TASKS_BROKER_CA "
        "to a file with that authority's certificate",
    ),
    (
        r"CERTIFICATE_REQUIRED|alert handshake failure|HANDSHAKE_FAILURE",
        "it wants a certificate of this process: set CARINA_TASKS_BROKER_CERTIFICATE and "
        "CARINA_TASKS_BROKER_KEY",
    ),
    (
        r"ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED"
        r"|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|DECRYPT_ERROR|ACCESS_DENIED)",
        "it refuses the certificate of this process: CARINA_TASKS_BROKER_CERTIFICATE should be one "
        "that is not expired, of an authority that the server trusts",
    ),
    (
        r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|handshake operation timed out"
        r"|connecting to .*(UNEXPECTED_EOF|EOF occurred in violation of protocol)",
        "it does not answer with TLS: is this its TLS port? Without TLS CARINA_TASKS_BROKER_URL "
        "begins with redis:// (for Sentinel: no CARINA_TASKS_SENTINEL_TLS)",
    ),
    (
        r"invalid username-password pair|WRONGPASS|invalid password",
        "it refuses user or password: compare CARINA_TASKS_BROKER_URL with the server's users (for "
        "the Sentinels' own: CARINA_TASKS_SENTINEL_USER and CARINA_TASKS_SENTINEL_PASSWORD)",
    ),
    (
        r"NOAUTH|[Aa]uthentication required|HELLO must be called",
        "it wants a password: write USER:PASSWORD@ before the host in CARINA_TASKS_BROKER_URL (for "
        "the Sentinels' own: CARINA_TASKS_SENTINEL_PASSWORD)",
    ),
    (
        r"No master found for",
        "no Sentinel names a master: CARINA_TASKS_BROKER_MASTER_NAME should be the name that the "
        "Sentinels give it (redis-cli -p 26379 sentinel masters)",
    ),
)
"""Pattern of the library's text, and what it means. The first that is found counts: one that is
more exact stands before one that is less.
"""


CLOSED: Final = (
    r"Connection closed by server|Connection reset by peer|Connection lost|Broken pipe"
    r"|UNEXPECTED_EOF|EOF occurred in violation of protocol"
)
CLOSED_WITH_TLS: Final = (
    "it closed the connection right after the TLS handshake: a server that wants a certificate of "
    "this process, or refuses the certificate that it has, does that "
    "(CARINA_TASKS_BROKER_CERTIFICATE), and one that restarts"
)
CLOSED_WITHOUT: Final = (
    "it closed the connection without an answer: a port that takes only TLS does that to redis:// "
    "(write rediss://, for Sentinel set CARINA_TASKS_SENTINEL_TLS=true), and a server that restarts"
)


def explain(exc: BaseException, *, tls: bool = False) -> str:
    """Return what an error means for an operator, with its text in parentheses, on one line.

    Libraries wrap errors in others that say less, so the causes are read too. An error that is not
    known is returned as its text.

    Args:
        exc: What the client library raised.
        tls: Whether the connection was to be encrypted.
    """
    shown = _shown(exc)
    meaning = _meaning(exc, tls)
    return f"{meaning} ({shown})" if meaning else shown


def is_known(exc: BaseException) -> bool:
    """Return whether `explain` knows more of an error than its text."""
    return bool(_meaning(exc, False))


def causes(exc: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from."""
    cause: BaseException | None = exc
    for _ in range(_DEEPEST):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _meaning(exc: BaseException, tls: bool) -> str:
    closed = (CLOSED, CLOSED_WITH_TLS if tls else CLOSED_WITHOUT)
    for cause in causes(exc):
        for pattern, meaning in (*MEANINGS, closed):
            if re.search(pattern, str(cause)):
                return meaning
    return ""


def _shown(exc: BaseException) -> str:
    # redis-py puts the whole of its client object into the text; what it knows of the error it
    # leaves out.
    text = " ".join(re.sub(r" : <redis\..*", "", str(exc), flags=re.DOTALL).split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
