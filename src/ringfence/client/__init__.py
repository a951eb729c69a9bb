"""The Python SDK: `ringfence.client.Client` over the API, the same for a local and a remote platform."""

from ringfence.client.client import Client

__all__ = ["Client"]
