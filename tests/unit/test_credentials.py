"""How a request shows who we are: asked of the client's configuration, which renews tokens."""

import io
import time

import pytest
import urllib3
from kubernetes import client

from carina_tasks.errors import ApiUnauthorized
from carina_tasks.kube import http
from carina_tasks.kube.api import Api


class Server:
    """Stands for the connection pool; takes one token, and its client has the newest."""

    def __init__(self, monkeypatch):
        self.newest, self.taken, self.asked, self.at = "one", "one", 0, 100.0
        self.api = Api(client.ApiClient(client.Configuration(host="http://127.0.0.1:1")), 1, 500)
        monkeypatch.setattr(self.api._client, "update_params_for_auth", self.update)
        monkeypatch.setattr(self.api._client.rest_client.pool_manager, "request", self.request)
        monkeypatch.setattr(time, "monotonic", lambda: self.at)

    def update(self, headers, *_):
        """Add the newest token."""
        self.asked += 1
        headers["authorization"] = f"Bearer {self.newest}"

    def request(self, verb, url, *, headers, **_):
        """Answer as the API server does."""
        good = headers["authorization"] == f"Bearer {self.taken}"
        body = io.BytesIO(b"{}" if good else b'{"reason":"Unauthorized"}')
        return urllib3.HTTPResponse(body, status=200 if good else 401, preload_content=False)


def test_the_configuration_is_asked_once_a_second(monkeypatch):
    """A token that it renewed is used within a second."""
    server = Server(monkeypatch)
    for _ in range(5):
        server.api.get("/version")
    assert server.asked == 1
    server.newest = server.taken = "two"
    server.at += http.CREDENTIALS_KEPT
    server.api.get("/version")
    assert server.asked == 2


def test_a_token_that_is_refused_is_not_kept(monkeypatch):
    """The next request asks for another at once."""
    server = Server(monkeypatch)
    server.taken = "two"
    with pytest.raises(ApiUnauthorized):
        server.api.get("/version")
    server.newest = "two"
    server.api.get("/version")
    assert server.asked == 2
