"""The messages that containerd and its shims exchange; `make protos` writes the modules from the .proto files."""
