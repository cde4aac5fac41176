"""pyrunc: an OCI runtime in Python; as a library see docs/api.md."""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.api import Container as Container
    from pyrunc.api import ContainerState as ContainerState
    from pyrunc.api import Process as Process
    from pyrunc.api import Streams as Streams
    from pyrunc.api import containers as containers


def __getattr__(name: str) -> object:
    """Load the library when it is used: the command line never is (PEP 562)."""
    if name not in ("Container", "ContainerState", "Process", "Streams", "containers"):
        raise AttributeError(f"module 'pyrunc' has no attribute {name!r}")
    from pyrunc import api

    return getattr(api, name)
