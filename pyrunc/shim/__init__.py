"""containerd-shim-pyrunc-v1: containers of containerd, or one pod of them, in one process that lives as long as they.

- daemon.py: from the command line to the process that serves: socket, fork, log
- loop.py: the one loop of that process: descriptors, timers, ends of children; no thread
- ttrpc.py: containerd's remote procedure calls: frames, server, client; knows nothing of containers
- codec.py: messages as bytes; protos/ has the messages, made of the .proto files beside them
- service.py, questions.py: what each call of the task service does; calls.py: how they are read and refused
- options.py: what a container was asked for besides its config.json
- task.py: a container and its processes as containerd sees them
- work.py, jobs.py: what enters a container, or may take long, is done in a fork: none waits for another
- turns.py: but only so many at a time
- stdio.py: bytes between a program's streams and what containerd gave for them
- events.py: what containerd is told without having asked
- metrics.py: counters in containerd's words
- rootfs.py, mapped.py: the mounts below a container's root; with mapped owners
- place.py: the shim in a cgroup of its own
"""
