"""A small ADB daemon on loopback: CNXN, OPEN of `shell:` and `sync:` (STAT, SEND, DATA, DONE, QUIT), nothing else.

Protocol: system/core/adb protocol.txt and SYNC.TXT of Android. What a shell command names under /data/local/tmp lies
under `root`, and what it names under /sys and /proc too where the test has put it there. Commands run with this
machine's sh. When the other side closes a stream, its command reads the end of its input, as on a device.
"""

import contextlib
import socketserver
import struct
import subprocess
import threading
from pathlib import Path

DEVICE_TMP = "/data/local/tmp"
MADE_UP = ("/sys/devices/system/cpu", "/sys/class/thermal", "/proc/cpuinfo")
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
        self.shells: dict[int, subprocess.Popen[bytes]] = {}
        self.taken: dict[int, threading.Semaphore] = {}  # released when the other side has taken a message
        self.sending = threading.Lock()
        while (message := self.receive()) is not None:
            command, theirs, ours, payload = message
            if command == CNXN:
                self.send(CNXN, 0x01000000, MAX_PAYLOAD, b"device::ro.product.name=scripted;\0")
            elif command == OPEN:
                self.taken[theirs] = threading.Semaphore(0)
                self.send(OKAY, theirs, theirs)
                service = payload.rstrip(b"\0").decode()
                if service == "sync:":
                    self.streams[theirs] = bytearray()
                else:
                    self.start_shell(theirs, service.partition(":")[2])
            elif command == WRTE and theirs in self.streams:
                self.send(OKAY, theirs, theirs)
                self.streams[theirs] += payload
                self.sync(theirs)
            elif command == OKAY and theirs in self.taken:
                self.taken[theirs].release()
            elif command == CLSE and ours in self.shells:
                self.end_input(ours)
        for stream in list(self.shells):
            self.end_input(stream)

    def receive(self) -> tuple[int, int, int, bytes] | None:
        header = self.rfile.read(24)
        if len(header) < 24:
            return None
        command, first, second, length, _, _ = struct.unpack("<6I", header)
        return command, first, second, self.rfile.read(length)

    def send(self, command: int, first: int, second: int, payload: bytes = b"") -> None:
        check = sum(payload) & 0xFFFFFFFF
        header = struct.pack("<6I", command, first, second, len(payload), check, command ^ 0xFFFFFFFF)
        with self.sending:
            self.wfile.write(header + payload)

    def write(self, stream: int, payload: bytes) -> None:
        """Sends an answer that fits into one message."""
        self.send(WRTE, stream, stream, payload)

    def start_shell(self, stream: int, command: str) -> None:
        here = self.here(command)
        self.shells[stream] = subprocess.Popen(
            ["sh", "-c", here], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        threading.Thread(target=self.pump, args=(stream,), daemon=True).start()

    def here(self, script: str) -> str:
        """A script with this machine's paths in place of the device's."""
        for path in MADE_UP:
            if (made := self.server.root.parent / path[1:]).exists():
                script = script.replace(path, str(made))
        return script.replace(DEVICE_TMP, str(self.server.root))

    def pump(self, stream: int) -> None:
        """Sends what a command prints; each message waits until the one before is taken."""
        process = self.shells[stream]
        assert process.stdout
        while printed := process.stdout.read1(MAX_PAYLOAD):  # type: ignore[attr-defined]
            self.send(WRTE, stream, stream, printed)
            self.taken[stream].acquire(timeout=20)
        process.wait()
        with contextlib.suppress(OSError):  # the other side may be gone
            self.send(CLSE, stream, stream)

    def end_input(self, stream: int) -> None:
        stdin = self.shells[stream].stdin
        assert stdin
        stdin.close()

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
                script = self.here(content.decode()).encode() if path.suffix == ".sh" else bytes(content)
                path.write_bytes(script)
                self.write(stream, b"OKAY\0\0\0\0")
            elif name == b"QUIT":
                self.send(CLSE, stream, stream)
                return

    def path(self, remote: str) -> Path:
        return Path(remote.replace(DEVICE_TMP, str(self.server.root)))
