"""Certificates of an authority that only a test trusts, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """The files of one server, and of its authority."""

    ca: Path
    certificate: Path
    key: Path


def certificates(folder: Path, name: str = "localhost") -> Certificates:
    """Make an authority and a certificate for `name` and 127.0.0.1 in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    # Python 3.13 takes no authority that does not say what its key is for.
    ca = ["-x509", "-subj", "/CN=authority", "-addext", "keyUsage=critical,keyCertSign"]
    _openssl(folder, "req", *key, *ca, "-keyout", "ca.key", "-out", "ca.pem")
    own = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"]
    own += ["-addext", "basicConstraints=critical,CA:FALSE"]
    files = ["-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "tls.key", "-out", "tls.crt"]
    _openssl(folder, "req", "-x509", *key, *own, *files)
    return Certificates(folder / "ca.pem", folder / "tls.crt", folder / "tls.key")


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
