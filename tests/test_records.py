"""JSON files: what is written is read, what is damaged is refused in one line with a remedy."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compress.files.records import parse_json, read_json, read_record, write_json, write_record
from search_spaces.errors import InputError

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    # text of characters that UTF-8 has, without NUL
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.dictionaries(st.text("abc", min_size=1, max_size=3), PLAIN, max_size=4))
def test_a_record_is_read_as_it_was_written(tmp_path: Path, value: dict[str, Any]) -> None:
    path = tmp_path / "metrics.json"
    write_record(path, value)
    assert read_record(path, "do it again") == json.loads(json.dumps(value))
    kept = {name: item for name, item in json.loads(path.read_text()).items() if name != "checksum"}
    write_json(path, kept)  # as versions before the checksum wrote it
    assert read_record(path, "do it again") == kept


@pytest.mark.parametrize(
    ("old", "new"), [('"miou": 0.5', '"miou": 0.6'), ('"a"', '"b"'), ('checksum": "', 'checksum": "f')]
)
def test_a_record_changed_by_hand_is_one_line(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "metrics.json"
    write_record(path, {"miou": 0.5, "name": "a"})
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=r"metrics\.json does not fit its checksum.*; do it again"):
        read_record(path, "do it again")


def test_key_order_and_spacing_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_record(path, {"b": (1, 2), "a": {"d": 1.5, "c": None}})
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read_record(path, "") == {"b": [1, 2], "a": {"d": 1.5, "c": None}}


DAMAGED = {
    "empty": b"",
    "cut": b'{"a": 1',
    "latin-1": '{"a": "Straße"}'.encode("latin-1"),
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "two keys": b'{"a": 1, "a": 2}',
    "two keys inside": b'[{"b": {"a": 1, "a": 1}}]',
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "huge integer": b'{"a": ' + b"9" * 30 + b"}",
    "huger integer": b'{"a": ' + b"9" * 5000 + b"}",
    "huge real": b'{"a": 1e999}',
    "half a character": rb'{"a": "\ud800"}',
    "NUL": rb'{"a": ["\u0000"]}',
    "two values": b"{} {}",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_json_is_one_line_with_the_file_and_the_remedy(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(DAMAGED[kind])
    with pytest.raises(InputError, match=r"table\.json cannot be read \(.*\); build it again$") as refused:
        read_json(path, "build it again")
    assert len(str(refused.value)) < 400 + len(str(path))


def test_a_folder_a_missing_file_and_another_kind_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\); remedy"):
        read_json(tmp_path, "remedy")
    with pytest.raises(InputError, match="gone is missing; remedy"):
        read_json(tmp_path / "gone", "remedy")
    for kind, words, content in (
        (dict, "an object", "[]"),
        (list, "a list", "{}"),
        (str, "a text", "1"),
        (float, "a number", '"x"'),
    ):
        with pytest.raises(InputError, match=f"f cannot be read .it must hold {words}.; remedy"):
            parse_json(content, "f", "remedy", kind)


def test_what_editors_add_is_read(tmp_path: Path) -> None:
    """A byte order mark and the line ends of Windows."""
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{\r\n\t"a": [1, 2.5e3, "\\u00e9"]\r\n}\r\n')
    assert read_json(path, "", dict) == {"a": [1, 2500.0, "é"]}
