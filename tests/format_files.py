"""Image files of every kind that readers claim, each with what a second library reads from it."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageOps

SIDE = (20, 24)  # H, W
REFUSED = None
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of PNG colour types
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


@dataclass(frozen=True)
class Case:
    """A file, and the arrays that it must become; REFUSED where it must be refused by name."""

    name: str
    content: bytes
    image: np.ndarray | None
    mask: np.ndarray | None


def noise(*shape: int, top: int = 256, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(shape[-1]).integers(0, top, shape).astype(dtype)


def smooth() -> np.ndarray:
    """Bytes that lossy compression keeps roughly."""
    rows, columns = np.mgrid[: SIDE[0], : SIDE[1]]
    return np.stack([rows * 9, columns * 8, rows + columns], -1).astype(np.uint8)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pillow(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def rgb(content: bytes) -> np.ndarray:
    return np.asarray(pillow(content).convert("RGB"))


def oriented(content: bytes) -> np.ndarray:
    """As Pillow turns it."""
    return np.asarray(ImageOps.exif_transpose(pillow(content)))


def turned(kind: str, **options: object) -> Iterator[Case]:
    """Files of every EXIF orientation. Masks are turned like images."""
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = saved(Image.fromarray(smooth()), kind, exif=exif, **options)
        yield Case(f"{kind} orientation {orientation}", content, oriented(content), oriented(content))


def png(samples: np.ndarray, bits: int, colour_type: int, interlace: int = 0, extra: bytes = b"") -> bytes:
    """A PNG encoder that shares nothing with libpng. `samples` are H,W,channels; `extra` are chunks before pixels."""
    passes = ADAM7 if interlace else ((0, 0, 1, 1),)
    lines = b""
    for top, left, down, right in passes:
        part = samples[top::down, left::right]
        for row in part if part.size else ():
            wide = row.ravel().astype(">u2" if bits == 16 else "u1").view(np.uint8)
            if bits < 8:
                wide = np.packbits(np.unpackbits(wide[:, None], axis=1)[:, 8 - bits :].ravel())
            lines += b"\0" + wide.tobytes()
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, colour_type, 0, 0, interlace)
    parts = chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_cases() -> Iterator[Case]:
    """Every colour type, depth and interlacing, with and without transparency, gamma and large text."""
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    text = chunk(b"gAMA", struct.pack(">I", 10_000)) + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2_000_000))
    for (kind, bits), interlace, clear, wordy in product(
        ((kind, bits) for kind, all_bits in depths.items() for bits in all_bits), (0, 1), (False, True), (False, True)
    ):
        samples = noise(*SIDE, CHANNELS[kind], top=2**bits, dtype="uint16" if bits == 16 else "uint8")
        palette = noise(2**bits, 3)
        extra = text if wordy else b""
        extra += chunk(b"PLTE", palette.tobytes()) if kind == 3 else b""
        if clear and kind < 4:
            extra += chunk(b"tRNS", {0: b"\0\1", 2: b"\0\1\0\2\0\3", 3: b"\0\x80"}[kind])
        content = png(samples, bits, kind, interlace, extra)
        plain = png(samples, bits, kind, interlace, chunk(b"PLTE", palette.tobytes()) if kind == 3 else b"")
        if bits == 16:  # Pillow drops half of 16 bits
            read = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_UNCHANGED)
            image = read.reshape(*SIDE, -1)[..., :1] if kind in (0, 4) else read[..., 2::-1]
        else:
            image = rgb(plain)
        mask = samples[..., :3] if kind in (2, 6) else samples[..., 0]
        yield Case(f"{kind} {bits} {interlace} {clear} {wordy}", content, image, mask)
    yield from turned("PNG")
    grey = png(noise(*SIDE, 1), 8, 0)
    yield Case("cut", grey[:-100], REFUSED, REFUSED)
    yield Case("flipped", grey[:70] + b"?" + grey[71:], REFUSED, REFUSED)
    yield Case("no palette", png(noise(*SIDE, 1), 8, 3), REFUSED, REFUSED)
    frames = [Image.fromarray(noise(*SIDE, i + 3)[..., :3]) for i in range(2)]
    yield Case("frames", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]), REFUSED, REFUSED)


def jpeg_cases() -> Iterator[Case]:
    """Colour spaces, subsampling, progression, orientation; damaged files that libjpeg only warns about."""
    picture = Image.fromarray(smooth())
    for mode, progressive, subsampling, quality in product(
        ("L", "RGB", "CMYK"), (False, True), (0, 1, 2), (30, 75, 100)
    ):
        options = {"progressive": progressive, "subsampling": subsampling, "quality": quality}
        content = saved(picture.convert(mode), "JPEG", **options)
        rare = mode == "CMYK" and subsampling > 0  # Pillow's CMYK has a subsampling that libjpeg-turbo has no name for
        yield Case(f"{mode} {options}", content, REFUSED if rare else rgb(content), REFUSED)
    for options in ({"keep_rgb": True}, {"restart_marker_rows": 1}, {"optimize": True}):
        content = saved(picture, "JPEG", **options)
        yield Case(str(options), content, rgb(content), REFUSED)
    yield from (Case(case.name, case.content, case.image, REFUSED) for case in turned("JPEG"))
    lossless = imagecodecs.jpeg8_encode(smooth(), lossless=True)
    yield Case("lossless", lossless, rgb(lossless), REFUSED)
    deep = imagecodecs.jpeg8_encode(smooth().astype(np.uint16) * 16, bitspersample=12)
    yield Case("12 bits", deep, REFUSED, REFUSED)
    for progressive, at, end in product((False, True), (0.5, 0.7, 0.9), (b"", b"\xff\xd9")):
        whole = saved(Image.fromarray(noise(96, 96, 3)), "JPEG", progressive=progressive)
        yield Case(f"cut {progressive} {at} {end!r}", whole[: int(at * len(whole))] + end, REFUSED, REFUSED)


def tiff(samples: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def libtiff(content: bytes, planar: str = "contig") -> np.ndarray:
    """H,W,bands as libtiff reads them."""
    read = np.asarray(imagecodecs.tiff_decode(content))
    read = np.moveaxis(read, 0, -1) if planar == "separate" and read.ndim > 2 else read
    return read.reshape(*read.shape[:2], -1)


def tiff_cases() -> Iterator[Case]:
    """Types, bands, planes, tiles, byte orders and compressions, as TIFF and BigTIFF."""
    types = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
    for dtype, bands, planar, tile, big in product(types, (1, 3, 5), ("contig", "separate"), (False, True), (0, 1)):
        samples = noise(*SIDE, bands, top=100).astype(dtype)
        stored = samples[..., 0] if bands == 1 else np.moveaxis(samples, -1, 0) if planar == "separate" else samples
        options = {"bigtiff": bool(big), "byteorder": "<>"[big], "tile": (16, 16) if tile else None}
        options |= {"photometric": "minisblack", "planarconfig": planar if bands > 1 else None}
        content = tiff(stored, **options)
        image = libtiff(content, planar)
        mask = image if bands == 3 else image[..., 0] if bands == 1 else REFUSED
        yield Case(f"{dtype} {bands} {options}", content, image, mask)
    for compression, predictor, dtype, tile in product(
        ("lzw", "zlib", "zstd", "packbits", "lzma"), (False, True), ("uint8", "uint16", "float32"), (False, True)
    ):
        options = {"compression": compression, "tile": (16, 16) if tile else None, "photometric": "minisblack"}
        if predictor and compression == "packbits":
            continue
        content = tiff(noise(*SIDE, top=100, dtype=dtype), predictor=predictor, **options)
        yield Case(f"{dtype} {predictor} {options}", content, libtiff(content), libtiff(content)[..., 0])
    yield from tiff_colours()


def tiff_colours() -> Iterator[Case]:
    """Photometric interpretations, few bits, palettes, orientations, opacity, several pages, damage."""
    for bits in (1, 2, 4, 8, 12, 16):
        dtype = "bool" if bits == 1 else "uint8" if bits <= 8 else "uint16"
        samples = noise(*SIDE, top=2**bits, dtype=dtype)
        for photometric in ("minisblack", "miniswhite"):
            content = tiff(samples, photometric=photometric, bitspersample=bits if bits not in (1, 8, 16) else None)
            stored = libtiff(content)[..., 0].astype(np.uint8 if bits <= 8 else np.uint16)
            shown = 2**bits - 1 - stored if photometric == "miniswhite" else stored
            if bits <= 8:  # Pillow shows it in 8 bits
                assert (np.asarray(pillow(content).convert("L")) == shown * (255 // (2**bits - 1))).all()
                shown = (shown * (255 // (2**bits - 1))).astype(np.uint8)
            yield Case(f"{photometric} {bits}", content, shown[..., None], stored)
    colours = noise(3, 256, top=65536, dtype="uint16")
    content = tiff(noise(*SIDE), photometric="palette", colormap=colours)
    yield Case("palette", content, rgb(content), libtiff(content)[..., 0])
    for compression in ("group3", "group4", "tiff_ccitt", "packbits", "tiff_lzw"):
        content = saved(Image.fromarray(noise(*SIDE, top=2) > 0), "TIFF", compression=compression)
        shown = np.asarray(pillow(content).convert("L"))
        stored = np.asarray(imagecodecs.tiff_decode(content)).astype(np.uint8)
        yield Case(compression, content, shown[..., None], stored)
    for photometric, bands in (("separated", 4), ("cielab", 3)):
        yield Case(photometric, tiff(noise(*SIDE, bands), photometric=photometric), REFUSED, REFUSED)
    for kind in ("unassalpha", "assocalpha"):
        content = tiff(noise(*SIDE, 4), photometric="rgb", extrasamples=[kind])
        image = libtiff(content) if kind == "unassalpha" else REFUSED
        yield Case(kind, content, image, REFUSED if image is None else image[..., :3])
    for orientation in range(1, 9):
        content = tiff(noise(*SIDE), photometric="minisblack", extratags=[(274, "H", 1, orientation, True)])
        yield Case(f"orientation {orientation}", content, oriented(content)[..., None], oriented(content))
    jpeg = saved(Image.fromarray(smooth()), "TIFF", compression="jpeg")
    yield Case("JPEG", jpeg, rgb(jpeg), REFUSED)
    pages = saved(Image.fromarray(smooth()), "TIFF", save_all=True, append_images=[Image.fromarray(smooth()[:9])])
    yield Case("pictures", pages, REFUSED, REFUSED)
    yield Case("complex", tiff(noise(*SIDE).astype(np.complex64)), REFUSED, REFUSED)
    for compression in (None, "lzw", "zlib"):
        content = tiff(noise(*SIDE), compression=compression, rowsperstrip=4, photometric="minisblack")
        yield Case(f"cut {compression}", content[:-40], REFUSED, REFUSED)


def bitmap_cases() -> Iterator[Case]:
    """BMP, GIF and WebP."""
    picture = Image.fromarray(smooth())
    readers: dict[str, Callable[[bytes], np.ndarray]] = {
        "BMP": lambda content: cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1],
        "GIF": imagecodecs.gif_decode,
        "WEBP": imagecodecs.webp_decode,
    }
    for kind, mode in (*product(("BMP",), ("1", "L", "P", "RGB", "RGBA")), *product(("GIF",), ("1", "L", "P", "RGB"))):
        content = saved(picture.convert(mode), kind)
        read = pillow(content)
        yield Case(f"{kind} {mode}", content, readers[kind](content), np.asarray(read).astype(np.uint8))
    for mode, lossless in product(("RGB", "RGBA"), (False, True)):
        content = saved(picture.convert(mode), "WEBP", lossless=lossless)
        image = np.asarray(readers["WEBP"](content))[..., :3]
        yield Case(f"WebP {mode} {lossless}", content, image, image if lossless else REFUSED)
    yield from turned("WEBP", lossless=True)
    frames = [Image.fromarray(noise(*SIDE, i + 3)[..., :3]) for i in range(2)]
    for kind in ("GIF", "WEBP"):
        yield Case(f"frames {kind}", saved(frames[0], kind, save_all=True, append_images=frames[1:]), REFUSED, REFUSED)
    content = bytearray(saved(picture, "BMP"))
    content[28:30] = struct.pack("<H", 16)
    yield Case("BMP of 16 bits", bytes(content), REFUSED, REFUSED)
    yield Case("GIF cut", saved(picture, "GIF")[:200], REFUSED, REFUSED)


FAMILIES = {"png": png_cases, "jpeg": jpeg_cases, "tiff": tiff_cases, "bitmap": bitmap_cases}
