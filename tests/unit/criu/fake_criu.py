"""A criu that only talks: it answers as its script says, and writes down every request that it got.

argv: criu swrk FD. The script is a JSON list in the environment: for each request a list of what to send,
["notify", script, pid, descriptor or null], ["reply", {field: value}], ["log", text], ["print", text] or ["die"].
"""

from __future__ import annotations

import array
import json
import os
import socket
import sys

from pyrunc.host.protobuf import decode, encode


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[2]))
    heard = []
    for acts in json.loads(os.environ["FAKE_CRIU"]):
        request = channel.recv(1 << 16)
        heard.append(request.hex())
        kind = decode(request)[1][0]
        for act, *words in acts:
            if act == "notify":
                heard.append(notify(channel, *words).hex())
            elif act == "reply":
                fields = [(int(key), bytes.fromhex(value[1:]) if isinstance(value, str) and value[:1] == "#" else value)
                          for key, value in words[0].items()]  # fmt: skip
                channel.send(encode([(1, kind), *fields]))
            elif act == "log":
                with open(os.environ["FAKE_CRIU_LOG"], "w") as log:
                    log.write(words[0])
            elif act == "print":
                print(words[0], flush=True)
            else:
                os._exit(1)
            with open(os.environ["FAKE_CRIU_HEARD"], "w") as file:
                json.dump(heard, file)


def notify(channel: socket.socket, script: str, pid: int, descriptor: int | None) -> bytes:
    message = encode([(1, 6), (2, True), (5, encode([(1, script), (2, pid)]))])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))] if descriptor is not None else []
    channel.sendmsg([message], rights)
    return channel.recv(1 << 16)


if __name__ == "__main__":
    main()
