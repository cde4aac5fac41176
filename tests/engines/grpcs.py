"""The little of gRPC that the tests speak. grpcio-tools makes classes of cri.proto when they are first asked for."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SECONDS = 60.0
LINUX_RESOURCES = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"


@functools.cache
def messages() -> Any:
    """The module of message classes."""
    return grpc.protos("tests/engines/cri.proto")


class _Service:
    """Methods of one gRPC service behind a unix socket. A call that fails is an AssertionError."""

    def __init__(self, socket: Path, service: str, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._channel = grpc.insecure_channel(f"unix://{socket}")
        self._service = service
        self._metadata = metadata

    def send(self, method: str, request: Any, answer: Any) -> Any:
        """Call a method and wait for its answer."""
        call = self._channel.unary_unary(
            f"/{self._service}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=SECONDS, metadata=self._metadata)
        except grpc.RpcError as err:
            raise AssertionError(f"{method}: {err.details()}") from None

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class Cri(_Service):
    """The CRI's RuntimeService."""

    def __init__(self, socket: Path) -> None:
        super().__init__(socket, "runtime.v1.RuntimeService")

    def call(self, method: str, **fields: Any) -> Any:
        """Call a method with the fields of its request."""
        request = getattr(messages(), f"{method}Request")(**fields)
        return self.send(method, request, getattr(messages(), f"{method}Response"))


class Tasks(_Service):
    """containerd's own task service, in one namespace."""

    def __init__(self, socket: Path, namespace: str) -> None:
        super().__init__(socket, "containerd.services.tasks.v1.Tasks", [("containerd-namespace", namespace)])

    def update(self, id: str, resources: dict[str, Any]) -> None:
        """Set resources, in config.json's words, of a running container."""
        any_of = {"type_url": LINUX_RESOURCES, "value": json.dumps(resources).encode()}
        self.send("Update", messages().UpdateTaskRequest(container_id=id, resources=any_of), messages().Empty)
        self.close()
