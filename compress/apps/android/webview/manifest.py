"""AndroidManifest.xml in Android's binary form (frameworks/base, ResourceTypes.h)."""

import struct
from dataclasses import dataclass, field

NAMESPACE, PREFIX = "http://schemas.android.com/apk/res/android", "android"
RESOURCE_IDS = {  # of the attributes, android.R.attr
    "theme": 0x01010000,
    "label": 0x01010001,
    "name": 0x01010003,
    "exported": 0x01010010,
    "configChanges": 0x0101001F,
    "minSdkVersion": 0x0101020C,
    "versionCode": 0x0101021B,
    "versionName": 0x0101021C,
    "targetSdkVersion": 0x01010270,
    "allowBackup": 0x01010280,
    "required": 0x0101028E,
}
NONE = 0xFFFFFFFF
STRING, REFERENCE, DECIMAL, HEXADECIMAL, BOOLEAN = 0x03, 0x01, 0x10, 0x11, 0x12  # types of values
STRING_POOL, RESOURCE_MAP, XML = 0x0001, 0x0180, 0x0003  # types of chunks
START_NAMESPACE, END_NAMESPACE, START_ELEMENT, END_ELEMENT = 0x0100, 0x0101, 0x0102, 0x0103
NO_ACTION_BAR = 0x01030129  # android.R.style.Theme_DeviceDefault_NoActionBar
TURNED_OR_RESIZED = 0x04B0  # configChanges: keyboardHidden, orientation, screenSize
MIN_SDK, TARGET_SDK = 26, 34
ACTIVITY = "dev.slimlab.webview.Main"

Value = tuple[int, int] | str  # type and data, or a text


@dataclass(frozen=True)
class Element:
    """An XML element.

    Attributes:
        tag: its name.
        attributes: of Android's namespace, by name.
        plain: attributes of no namespace, by name.
        children: the elements inside.
    """

    tag: str
    attributes: dict[str, Value] = field(default_factory=dict)
    plain: dict[str, str] = field(default_factory=dict)
    children: tuple["Element", ...] = ()


def app_manifest(label: str, application_id: str) -> Element:
    """Describes the app: one activity, which may use the camera.

    Args:
        label: the name that the phone shows.
        application_id: the app's id.

    Returns:
        The manifest.
    """
    launcher = Element(
        "intent-filter",
        children=(
            Element("action", {"name": "android.intent.action.MAIN"}),
            Element("category", {"name": "android.intent.category.LAUNCHER"}),
        ),
    )
    activity = Element(
        "activity",
        {"name": ACTIVITY, "exported": (BOOLEAN, NONE), "configChanges": (HEXADECIMAL, TURNED_OR_RESIZED)},
        children=(launcher,),
    )
    application = Element(
        "application",
        {"theme": (REFERENCE, NO_ACTION_BAR), "label": label, "allowBackup": (BOOLEAN, 0)},
        children=(activity,),
    )
    return Element(
        "manifest",
        {"versionCode": (DECIMAL, 1), "versionName": "1.0"},
        {"package": application_id},
        (
            Element("uses-sdk", {"minSdkVersion": (DECIMAL, MIN_SDK), "targetSdkVersion": (DECIMAL, TARGET_SDK)}),
            Element("uses-permission", {"name": "android.permission.CAMERA"}),
            Element("uses-feature", {"name": "android.hardware.camera", "required": (BOOLEAN, 0)}),
            application,
        ),
    )


def binary_xml(root: Element) -> bytes:
    """Writes a manifest in binary form.

    Args:
        root: the manifest.

    Returns:
        The bytes of AndroidManifest.xml.
    """
    named = sorted({name for element in _elements(root) for name in element.attributes}, key=RESOURCE_IDS.__getitem__)
    # the pool begins with the names that have resource ids, in their order
    pool = dict.fromkeys((*named, PREFIX, NAMESPACE))
    for element in _elements(root):
        texts = [value for value in element.attributes.values() if isinstance(value, str)]
        pool |= dict.fromkeys((element.tag, *texts, *element.plain, *element.plain.values()))
    place = {text: index for index, text in enumerate(pool)}
    ids = struct.pack(f"<{len(named)}I", *(RESOURCE_IDS[name] for name in named))
    around = struct.pack("<II", place[PREFIX], place[NAMESPACE])
    body = (
        _string_pool(list(pool))
        + struct.pack("<HHI", RESOURCE_MAP, 8, 8 + len(ids))
        + ids
        + _node(START_NAMESPACE, around)
        + _element(root, place)
        + _node(END_NAMESPACE, around)
    )
    return struct.pack("<HHI", XML, 8, 8 + len(body)) + body


def _elements(root: Element) -> list[Element]:
    return [root, *(inner for child in root.children for inner in _elements(child))]


def _string_pool(texts: list[str]) -> bytes:
    """UTF-16 texts, each after its length."""
    data, offsets = b"", []
    for text in texts:
        encoded = text.encode("utf-16-le")
        offsets.append(len(data))
        data += struct.pack("<H", len(encoded) // 2) + encoded + b"\0\0"
    data += b"\0" * (-len(data) % 4)
    body = struct.pack(f"<{len(texts)}I", *offsets) + data
    header = 28
    sizes = (header + len(body), len(texts), 0, 0, header + 4 * len(texts), 0)
    return struct.pack("<HHIIIIII", STRING_POOL, header, *sizes) + body


def _node(kind: int, body: bytes) -> bytes:
    """A node of the tree, said to stand on line 1 and without a comment."""
    return struct.pack("<HHIII", kind, 16, 16 + len(body), 1, NONE) + body


def _element(element: Element, place: dict[str, int]) -> bytes:
    rows = []
    for name, value in sorted(element.attributes.items(), key=lambda pair: RESOURCE_IDS[pair[0]]):
        kind, data, raw = (STRING, place[value], place[value]) if isinstance(value, str) else (*value, NONE)
        rows.append(struct.pack("<IIIHBBI", place[NAMESPACE], place[name], raw, 8, 0, kind, data))
    for name, text in element.plain.items():
        rows.append(struct.pack("<IIIHBBI", NONE, place[name], place[text], 8, 0, STRING, place[text]))
    head = struct.pack("<IIHHHHHH", NONE, place[element.tag], 20, 20, len(rows), 0, 0, 0)
    start = _node(START_ELEMENT, head + b"".join(rows))
    inside = b"".join(_element(child, place) for child in element.children)
    return start + inside + _node(END_ELEMENT, struct.pack("<II", NONE, place[element.tag]))
