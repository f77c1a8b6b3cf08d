"""TLS to the broker: what Celery, kombu and redis-py are told, and whether the files are usable.

One set of options is used for everything: the broker (``broker_use_ssl``), the result backend and
with it our own keys (``redis_backend_use_ssl``), the Sentinels (``sentinel_kwargs``), and Flower,
which reads the first and the last.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from carina_tasks.environment import PREFIX
from carina_tasks.errors import BadSetting
from carina_tasks.settings import Settings

_WARNINGS = {
    "none": f"{PREFIX}BROKER_VERIFY=none: the broker's certificate is not verified, so an attacker "
    "on the network path can read the password and have volumes removed",
    "authority": f"{PREFIX}BROKER_VERIFY=authority: the broker's certificate may be for any host, "
    "so the owner of any certificate of that authority can read the password and have volumes "
    "removed",
}


def options(conf: Settings) -> dict[str, Any]:
    """Return redis-py's TLS options, empty for a connection without TLS.

    Celery raises ValueError for a ``rediss://`` URL without them, and Flower would verify nothing.
    """
    if not conf.broker_tls:
        return {}
    found: dict[str, Any] = {
        "ssl_cert_reqs": ssl.CERT_NONE if conf.broker_verify == "none" else ssl.CERT_REQUIRED,
        "ssl_check_hostname": conf.broker_verify == "full",
    }
    if conf.broker_ca:
        found["ssl_ca_certs"] = conf.broker_ca
    if conf.broker_certificate:
        found["ssl_certfile"] = conf.broker_certificate
        found["ssl_keyfile"] = conf.broker_key or conf.broker_certificate
        # Without a password, not even an empty one, OpenSSL would ask the terminal for it.
        found["ssl_password"] = conf.broker_key_password
    return found


def warning(conf: Settings) -> str:
    """Return what every process should warn of, empty when the certificate is verified."""
    return _WARNINGS.get(conf.broker_verify, "")


def check(conf: Settings) -> None:
    """Read the files of the TLS settings once, before anything connects.

    Raises:
        BadSetting: It names the setting, and what is wrong with its file.
    """
    if conf.broker_ca:
        _check_authorities(conf.broker_ca)
    if conf.broker_certificate:
        _check_pair(conf)


def _check_authorities(path: str) -> None:
    _read("BROKER_CA", path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as exc:
        raise BadSetting(
            f"{PREFIX}BROKER_CA: {path} holds no certificate in PEM form (-----BEGIN "
            "CERTIFICATE-----)"
        ) from exc


def _check_pair(conf: Settings) -> None:
    certificate, key = conf.broker_certificate, conf.broker_key or conf.broker_certificate
    name = f"{PREFIX}BROKER_KEY" if conf.broker_key else f"{PREFIX}BROKER_CERTIFICATE"
    if "-----BEGIN CERTIFICATE-----" not in _read("BROKER_CERTIFICATE", certificate):
        raise BadSetting(
            f"{PREFIX}BROKER_CERTIFICATE: {certificate} holds no certificate in PEM form "
            "(-----BEGIN CERTIFICATE-----)"
        )
    text = _read("BROKER_KEY", key)
    if "PRIVATE KEY-----" not in text:
        do = "" if conf.broker_key else f"; name the file that does in {PREFIX}BROKER_KEY"
        raise BadSetting(
            f"{name}: {key} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----){do}"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            certificate, key, password=conf.broker_key_password
        )
    except (ssl.SSLError, OSError, ValueError) as exc:
        encrypted = "ENCRYPTED" in text
        if encrypted and not conf.broker_key_password:
            why = f"is encrypted: set {PREFIX}BROKER_KEY_PASSWORD, or give a key that is not"
        elif getattr(exc, "reason", None) == "KEY_VALUES_MISMATCH":
            why = f"is not the key of the certificate in {certificate}: give the pair that belongs "
            why += "together"
        elif encrypted:
            why = f"cannot be decrypted: {PREFIX}BROKER_KEY_PASSWORD is not its password"
        else:
            why = f"cannot be used with the certificate in {certificate}: one of them is damaged"
        raise BadSetting(f"{name}: {key} {why}") from exc


def _read(name: str, path: str) -> str:
    """Return the text of a file.

    Raises:
        BadSetting: It cannot be read, or is no text.
    """
    try:
        return Path(path).read_text("ascii", errors="replace")
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or str(exc)
        raise BadSetting(f"{PREFIX}{name}: {path} cannot be read by this process: {why}") from exc
