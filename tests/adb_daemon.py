"""A small ADB daemon on loopback: CNXN, OPEN of `shell:` and `sync:` (STAT, SEND, DATA, DONE, QUIT), nothing else.

Protocol: system/core/adb protocol.txt and SYNC.TXT of Android. What a shell command names under /data/local/tmp lies
under `root`, and commands run with this machine's sh.
"""

import socketserver
import struct
import subprocess
from pathlib import Path

DEVICE_TMP = "/data/local/tmp"
CNXN, OPEN, OKAY, CLSE, WRTE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
MAX_PAYLOAD = 4096


class Daemon(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.root = root


class Connection(socketserver.StreamRequestHandler):
    server: Daemon

    def handle(self) -> None:
        self.streams: dict[int, bytearray] = {}  # the host's id of a sync stream -> bytes not yet understood
        self.uploads: dict[int, tuple[Path, bytearray]] = {}
        while (message := self.receive()) is not None:
            command, theirs, _, payload = message
            if command == CNXN:
                self.send(CNXN, 0x01000000, MAX_PAYLOAD, b"device::ro.product.name=scripted;\0")
            elif command == OPEN:
                self.send(OKAY, theirs, theirs)
                service = payload.rstrip(b"\0").decode()
                if service == "sync:":
                    self.streams[theirs] = bytearray()
                else:
                    self.shell(theirs, service.partition(":")[2])
            elif command == WRTE:
                self.send(OKAY, theirs, theirs)
                self.streams[theirs] += payload
                self.sync(theirs)

    def receive(self) -> tuple[int, int, int, bytes] | None:
        header = self.rfile.read(24)
        if len(header) < 24:
            return None
        command, first, second, length, _, _ = struct.unpack("<6I", header)
        return command, first, second, self.rfile.read(length)

    def send(self, command: int, first: int, second: int, payload: bytes = b"") -> None:
        check = sum(payload) & 0xFFFFFFFF
        self.wfile.write(
            struct.pack("<6I", command, first, second, len(payload), check, command ^ 0xFFFFFFFF) + payload
        )

    def write(self, stream: int, payload: bytes) -> None:
        for at in range(0, len(payload), MAX_PAYLOAD):
            self.send(WRTE, stream, stream, payload[at : at + MAX_PAYLOAD])
            while (message := self.receive()) is not None and message[0] != OKAY:
                pass

    def shell(self, stream: int, command: str) -> None:
        here = command.replace(DEVICE_TMP, str(self.server.root))
        done = subprocess.run(["sh", "-c", here], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.write(stream, done.stdout)
        self.send(CLSE, stream, stream)

    def sync(self, stream: int) -> None:
        waiting = self.streams[stream]
        while len(waiting) >= 8:
            name, size = bytes(waiting[:4]), int.from_bytes(waiting[4:8], "little")
            body = 0 if name == b"DONE" else size
            if len(waiting) < 8 + body:
                return
            payload = bytes(waiting[8 : 8 + body])
            del waiting[: 8 + body]
            if name == b"STAT":
                path = self.path(payload.decode())
                mode = 0o40755 if path.is_dir() else 0o100644 if path.exists() else 0
                self.write(stream, b"STAT" + struct.pack("<3I", mode, 0, 0))
            elif name == b"SEND":
                self.uploads[stream] = (self.path(payload.decode().rpartition(",")[0]), bytearray())
            elif name == b"DATA":
                self.uploads[stream][1].extend(payload)
            elif name == b"DONE":
                path, content = self.uploads.pop(stream)
                path.write_bytes(content)
                self.write(stream, b"OKAY\0\0\0\0")
            elif name == b"QUIT":
                self.send(CLSE, stream, stream)
                return

    def path(self, remote: str) -> Path:
        return Path(remote.replace(DEVICE_TMP, str(self.server.root)))
