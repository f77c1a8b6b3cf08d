"""Certificates for TLS tests, made with the openssl command: an authority, and what it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

NAMES = "DNS:localhost,IP:127.0.0.1,IP:::1"
"""Whom a server's certificate is for, unless a test says otherwise."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key: files in PEM form."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority of one test."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        """Make its key and certificate.

        Args:
            folder: Where all its files go.
            name: What they, and its subject, are called.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._made = folder, 0
        self._pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        _openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2",
            # Python 3.13 takes no authority that does not say what its key is for.
            *("-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign"),
            *("-keyout", str(self._pair.key), "-out", str(self._pair.certificate)),
        )

    @property
    def file(self) -> Path:
        """Return the file with its certificate."""
        return self._pair.certificate

    def server_options(self, pair: Pair, clients: str = "no") -> list[str]:
        """Return redis-server's options for TLS with this certificate.

        Args:
            pair: The server's certificate.
            clients: ``yes`` where clients need a certificate of this authority.
        """
        return [
            *("--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key)),
            *("--tls-ca-cert-file", str(self.file), "--tls-auth-clients", clients),
            *("--tls-replication", "yes"),
        ]

    def sign(self, name: str, names: str = NAMES, *, expired: bool = False) -> Pair:
        """Return a new certificate with its key.

        Args:
            name: What the files and the subject are called.
            names: Its subjectAltName.
            expired: Whether its last day is past.
        """
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extra = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        # The second line is for Python 3.13 as well.
        extra.write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
        _openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            *("-subj", f"/CN={name}", "-keyout", str(pair.key), "-out", str(request)),
        )
        self._made += 1
        _openssl(
            f"x509 -req -days {-1 if expired else 2} -set_serial {self._made}",
            *("-CA", str(self._pair.certificate), "-CAkey", str(self._pair.key)),
            *("-in", str(request), "-extfile", str(extra), "-out", str(pair.certificate)),
        )
        return pair


def encrypted(pair: Pair, password: str) -> Path:
    """Return a file with the pair's key, encrypted with `password`."""
    path = pair.key.with_suffix(".encrypted.key")
    _openssl(
        "pkcs8 -topk8", *("-in", str(pair.key), "-out", str(path), "-passout", f"pass:{password}")
    )
    return path


def _openssl(words: str, *arguments: str) -> None:
    subprocess.run(["openssl", *words.split(), *arguments], check=True, capture_output=True)
