"""python -m compress.demo RUN|MODEL.tflite [--out DIR] [--serve] [--port N]: a page that runs the model in a browser.

The page takes a photo or the camera and shows the classes, their shares and the milliseconds. It is one static folder
that any https host can serve; on a phone it can be installed and then works without a network. --serve shows it on this
machine. LiteRT.js, the runtime of the page, is fetched once by npm.
"""

import argparse
import contextlib

from compress.stages.cli import Command, run_command
from compress.stages.command import add_model_argument
from compress.stages.flag_values import expand_path

PORT = 8123


def add_arguments(flags: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        flags: The command's parser.
    """
    add_model_argument(flags)
    flags.add_argument("--out", type=expand_path, help="folder of the page (default: demo beside the model)")
    flags.add_argument("--serve", action="store_true", help="serve it on this machine")
    flags.add_argument("--port", type=int, default=PORT, help=f"of --serve ({PORT})")


def run(given: argparse.Namespace) -> None:
    """Writes the demo and serves it when asked to.

    Args:
        given: The flags.
    """
    from compress.apps.demo.build import build_demo  # the parser must not wait for numpy and LiteRT
    from compress.apps.demo.serve import open_server

    out = given.out or (given.model if given.model.is_dir() else given.model.parent) / "demo"
    server = open_server(out, given.port) if given.serve else None  # a port in use is said before anything is written
    build_demo(given.model, out)
    print(f"{out}: the demo; any https host can serve this folder")
    if server is not None:
        print(f"http://localhost:{server.server_port}/ shows it on this machine; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


COMMAND = Command("compress.demo", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
