"""Errors of the broker's connection: as the libraries word them, and what an operator reads."""

import ssl

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import MasterNotFoundError

from carina_tasks.broker import tls
from carina_tasks.celery import sentinel_options
from carina_tasks.decisions.broker_trouble import explain, is_known
from carina_tasks.settings import load
from carina_tasks.store import trouble

FAILED = "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
SAID = {
    FAILED + "self-signed certificate in certificate chain (_ssl.c:1006).": "BROKER_CA",
    FAILED + "unable to get local issuer certificate (_ssl.c:1006).": "BROKER_CA",
    FAILED + "certificate has expired (_ssl.c:1006).": "has expired: renew it",
    FAILED + "certificate is not yet valid (_ssl.c:1006).": "set the clock",
    FAILED + "CA cert does not include key usage extension (_ssl.c:1020).": "again with keyUsage",
    FAILED + "Missing Authority Key Identifier (_ssl.c:1032).": "with authorityKeyIdentifier",
    FAILED + "Hostname mismatch, certificate is not valid for 'h'. (_ssl.c:1006).": "another host",
    FAILED + "IP address mismatch, certificate is not valid for '10.0.0.1'.": "another host",
    "(1, '[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert')": "wants a certificate",
    "(1, '[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake')": "wants a certificate",
    "(1, '[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca')": "refuses the certificate",
    "(1, '[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert')": "refuses the certificate",
    "Error 1 connecting to h:1. [SSL: WRONG_VERSION_NUMBER] wrong version": "begins with redis://",
    "Error while reading from h:1 : (104, 'Connection reset by peer')": "write rediss://",
    "Connection closed by server.": "write rediss://",
    "invalid username-password pair or user is disabled.": "refuses user or password",
    "WRONGPASS invalid username-password pair": "refuses user or password",
    "Authentication required.": "wants a password",
}


@pytest.mark.parametrize("text", SAID)
def test_what_a_library_says_is_explained(text):
    """What to do first, the library's own words behind it, on one line."""
    found = explain(RedisConnectionError(text + "\nmore"))
    assert SAID[text] in found
    assert found.endswith(f"({text} more)")


def test_what_is_not_known_stays_as_it_is():
    """No guesses: a refused connection says enough."""
    error = RedisConnectionError("Error 111 connecting to h:1. Connection refused.")
    assert explain(error) == str(error)
    assert not is_known(error)


def test_the_cause_is_read_too():
    """redis-py says only that time was over, where the cause is a handshake without an answer."""
    error = RedisTimeoutError("Timeout connecting to server")
    error.__cause__ = TimeoutError("_ssl.c:990: The handshake operation timed out")
    assert "does not answer with TLS" in explain(error)


def test_a_connection_that_ends_means_something_else_with_tls():
    """Without it the port may take TLS alone; with it a certificate may be wanted."""
    error = RedisConnectionError("Error 8 while writing to socket. EOF occurred in violation of ")
    error.__cause__ = ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:2427)")
    assert "BROKER_CERTIFICATE" in explain(error, tls=True)
    assert "write rediss://" in explain(RedisConnectionError("Connection closed by server."))


def test_a_client_object_is_not_shown():
    """redis-py puts all options of each Sentinel's client into its error."""
    error = MasterNotFoundError("No master found for 'm' : <redis.client.Redis(host=h, port=1)>")
    found = explain(error)
    assert "<redis" not in found
    assert "CARINA_TASKS_BROKER_MASTER_NAME" in found


def test_sentinels_that_are_away_are_named():
    """When none of them answers, that is the reason, and not the master's name."""
    error = MasterNotFoundError("No master found for 'm' : <…>")
    found = trouble.sentence(error, ["sentinel://:p@127.0.0.1:1/0"], {}, tls=False)
    assert "the one at 127.0.0.1:1: Error 111" in found


def test_what_the_client_libraries_are_told():
    """Everything is verified by default, and a key never asks the terminal for its password."""
    secure = {"CARINA_TASKS_BROKER_URL": "rediss://h:1/0"}
    assert tls.options(load({})) == {}
    assert tls.options(load(secure)) == {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": True,
    }
    found = tls.options(load(secure | {"CARINA_TASKS_BROKER_CERTIFICATE": "/both"}))
    assert (found["ssl_certfile"], found["ssl_keyfile"]) == ("/both", "/both")
    assert found["ssl_password"] == ""
    assert tls.warning(load(secure)) == ""


@pytest.mark.parametrize(
    ("verify", "wanted"),
    [("authority", (ssl.CERT_REQUIRED, False)), ("none", (ssl.CERT_NONE, False))],
)
def test_less_verification_warns(verify, wanted):
    """The warning names the setting."""
    conf = load({"CARINA_TASKS_BROKER_URL": "rediss://h:1/0", "CARINA_TASKS_BROKER_VERIFY": verify})
    found = tls.options(conf)
    assert (found["ssl_cert_reqs"], found["ssl_check_hostname"]) == wanted
    assert "BROKER_VERIFY" in tls.warning(conf)


def test_sentinels_are_asked_over_tls_too():
    """The same options to them as to the master."""
    plain = {
        "CARINA_TASKS_BROKER_URL": "sentinel://h:1/0",
        "CARINA_TASKS_BROKER_MASTER_NAME": "m",
    }
    assert "ssl" not in sentinel_options(load(plain))["sentinel_kwargs"]
    secure = plain | {"CARINA_TASKS_SENTINEL_TLS": "true", "CARINA_TASKS_BROKER_CA": "/ca"}
    told = sentinel_options(load(secure))["sentinel_kwargs"]
    assert (told["ssl"], told["ssl_ca_certs"], told["ssl_check_hostname"]) == (True, "/ca", True)
