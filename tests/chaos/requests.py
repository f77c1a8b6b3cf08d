"""Requests at which a chaos case acts."""

from __future__ import annotations

from tests.chaos.proxy import Proxy, Request
from tests.lab.lab import Lab
from tests.system.product import Product


def through(proxy: Proxy, lab: Lab, **settings: str) -> Product:
    """Return a product that reaches the API server by the proxy only."""
    product = Product(lab, **settings)
    product.env["KUBECONFIG"] = str(proxy.kubeconfig)
    return product


def journal(request: Request) -> bool:
    """Match the request that writes a journal."""
    return request.writes_journal
