"""Images that belong together, such as the frames of one video: a split that is drawn keeps them together.

`groups.txt` has a line for each group: how the names of its images begin. After a comma a line may name the group, so
that several lines can be one group. A line that begins with a star is a rule for all names: what stands before the last
occurrence of the rest is the group.

    video1_
    video2_
    morning_,video3
    evening_,video3
    *_frame

Without the file, images in several folders are one group for each folder.
"""

from collections.abc import Sequence
from pathlib import Path

from compress.data.pairs import read_list, same_name
from search_spaces.errors import InputError

GROUPS = "groups.txt"
EXAMPLE = "write how the names of a group begin, such as video1_, or *_ where the group stands before the last _"
MAX_NAMED = 3  # lines in a message


def groups_of(names: Sequence[str], root: Path, spec: str) -> tuple[list[str], tuple[str, ...]]:
    """Finds the group of each image.

    Args:
        names: The names of the images, as `compress.data.splits.names_of` gives them.
        root: The folder of the data set, which may hold groups.txt.
        spec: The value of `--data`, for messages.

    Returns:
        The group of each image, which is its own name where it has none; and what the user should know, a line each.

    Raises:
        InputError: groups.txt cannot be read, or a line has no meaning.
    """
    path = root / GROUPS
    if not path.exists():
        return [name.rpartition("/")[0] + "/" if "/" in name else name for name in names], ()
    beginnings, rules = _lines(path, spec)
    lengths = sorted({len(beginning) for beginning in beginnings}, reverse=True)
    used, alone = set[str](), list[str]()
    groups = []
    for name in names:
        beginning = next((name[:length] for length in lengths if name[:length] in beginnings), None)
        rule = next((rule for rule in rules if beginning is None and name.rfind(rule) > 0), None)
        if beginning is not None:
            groups.append(f"{beginnings[beginning]},")  # no name of an image ends so by chance
        elif rule is not None:
            groups.append(f"{name[: name.rfind(rule)]}{rule},")
        else:
            groups.append(name)
            alone.append(name)
        used |= {beginning or "", f"*{rule}"}
    unused = [line for line in (*beginnings, *(f"*{rule}" for rule in rules)) if line not in used]
    notes = []
    if unused:
        notes.append(f"{path}: no image has a name that begins as {_some(unused)}")
    if alone:
        notes.append(f"{path}: {len(alone):,} of {len(names):,} images are in no group, such as {_some(alone)}")
    return groups, tuple(notes)


def _lines(path: Path, spec: str) -> tuple[dict[str, str], list[str]]:
    """The beginnings of names with their groups, and the rules. Raises InputError for a line without a meaning."""
    beginnings: dict[str, str] = {}
    rules: list[str] = []
    for line in (line for line in read_list(path, spec) if not line.startswith("#")):
        text, comma, group = (part.strip() for part in same_name(line).partition(","))
        if not text or (comma and not group) or (text.startswith("*") and (group or len(text) < 2)):
            raise InputError(f"{path}: {line[:60]!r} is no group; {EXAMPLE}")
        if text.startswith("*"):
            rules.append(text[1:])
        elif beginnings.setdefault(text, group or text) != (group or text):
            raise InputError(f"{path}: {text[:60]} is there twice, with different groups; keep one line")
    if not beginnings and not rules:
        raise InputError(f"{path}: it has no group; {EXAMPLE}, or remove the file")
    return beginnings, rules


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + ", ..." * (len(names) > MAX_NAMED)
