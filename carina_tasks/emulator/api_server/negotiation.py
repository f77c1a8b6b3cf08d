"""What the caller sends and what it wants back: media types, shapes, paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from .errors import bad_request, not_acceptable, unsupported_media_type
from .tables import Shape, View

_JSON_TYPES = ("application/json", "*/*", "application/*")
_YAML = "application/yaml"
_SHAPES: dict[str, Shape] = {
    "Table": "table",
    "PartialObjectMetadata": "metadata",
    "PartialObjectMetadataList": "metadata",
}


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a time is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The response that an Accept header asks for."""

    view: View
    yaml: bool = False


def wanted(accept: str, include: str) -> Wanted:
    """Choose the first acceptable form; StatusError 406 when there is none."""
    for choice in (accept or "*/*").split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        options = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        shape = options.get("as")
        if media == _YAML and not shape:
            return Wanted(View(), yaml=True)
        if media not in _JSON_TYPES:
            continue
        if shape is None:
            return Wanted(View())
        if shape in _SHAPES and options.get("g") == "meta.k8s.io" and options.get("v") == "v1":
            return Wanted(View(_SHAPES[shape], include or "Metadata"))
    raise not_acceptable(["application/json", "application/yaml"])


def media_type(content_type: str) -> str:
    """Return a Content-Type without its parameters."""
    return content_type.split(";")[0].strip().lower()


def decode(body: bytes, media: str) -> Any:
    """Return a request's body as data (None for an empty one); StatusError 400 or 415."""
    if not body.strip():
        return None
    try:
        if media.endswith("yaml"):
            return yaml.load(body, _Loader)  # noqa: S506 - a SafeLoader
        if media in ("", "application/json") or media.endswith("+json"):
            return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise bad_request(f"error decoding the body of the request: {error}") from error
    raise unsupported_media_type(["application/json", "application/yaml"])


def encode(data: Any, *, as_yaml: bool) -> tuple[bytes, str]:
    """Return data as bytes and their Content-Type."""
    if as_yaml:
        return yaml.safe_dump(data, sort_keys=False).encode(), _YAML
    return msgspec.json.encode(data), "application/json"
