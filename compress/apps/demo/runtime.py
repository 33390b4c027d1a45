"""LiteRT.js, the runtime of the page: two npm packages of fixed versions, fetched once and checked.

The runtime is fetched and not shipped with SlimLab: it is larger than all of SlimLab, and who builds no demo does not
need it. Of its four builds the page takes `compat`. That one runs in every browser and needs no special headers. Each
other build is as large again.
"""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from compress.files.atomic import make_folder
from search_spaces.errors import InputError

VERSION = "2.5.3"
INTEGRITY = {  # the integrity is npm's, of the packed file
    "@litertjs/core": (
        "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ=="
    ),
    "@litertjs/wasm-utils": (
        "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ=="
    ),
}
FILES = {  # in the package -> on the page
    "@litertjs/core": {
        "package/dist/index.js": "litert.js",
        "package/wasm/litert_wasm_compat_internal.js": "litert_wasm_compat_internal.js",
        "package/wasm/litert_wasm_compat_internal.wasm": "litert_wasm_compat_internal.wasm",
    },
    "@litertjs/wasm-utils": {"package/dist/index.js": "wasm-utils.js"},
}
IMPORTED = '"@litertjs/wasm-utils"'  # of the core, which the browser must find beside it
NPM_TIMEOUT_S = 300


def runtime_folder() -> Path:
    """Finds LiteRT.js, and fetches it by npm where it is not there yet.

    Returns:
        The folder with the runtime's files, in the user's cache.

    Raises:
        InputError: npm is missing, does not reach the registry, or gives other files than those that were tested.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "slimlab" / f"litertjs-{VERSION}"
    make_folder(folder, _fetch)
    return folder


def _fetch(folder: Path) -> None:
    """Leaves the files of both packages in a folder."""
    for package, integrity in INTEGRITY.items():
        content = _packed(package, integrity)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for inside, name in FILES[package].items():
                member = archive.extractfile(inside)
                if member is None:
                    raise InputError(f"{package} {VERSION} has no {inside}; report this")
                (folder / name).write_bytes(member.read())
    core = (folder / "litert.js").read_text().replace(IMPORTED, "'./wasm-utils.js'")
    (folder / "litert.js").write_text(_without_source_map(core))
    utils = folder / "wasm-utils.js"
    utils.write_text(_without_source_map(utils.read_text()))


def _without_source_map(script: str) -> str:
    return script.split("//# sourceMappingURL")[0]


def _packed(package: str, integrity: str) -> bytes:
    """The .tgz of a package, as the registry has it."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError("the demo needs LiteRT.js, which npm fetches, and npm is missing; install Node.js")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{package}@{VERSION}", "--pack-destination", folder, "--silent"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise InputError(f"npm pack {package}@{VERSION} takes too long; check the network and try again") from None
        packed = sorted(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            why = " ".join((done.stderr or done.stdout).split())[-200:]
            raise InputError(f"npm cannot fetch {package}@{VERSION} ({why}); check the network and try again")
        content = packed[0].read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != integrity:
        raise InputError(f"npm gives another {package}@{VERSION} than the one that was tested; check the registry")
    return content
