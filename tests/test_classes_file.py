"""classes.txt as this project and as other programs write it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.data.classes_file import read_classes
from compress.data.labels import IGNORE
from search_spaces.errors import InputError

NAMES = ("road", "traffic light", "sky")
COLOURS = ((128, 64, 128), (250, 170, 30), (0, 0, 7))

STYLES = {
    "own": "road 128 64 128\ntraffic light 250 170 30\nsky 0 0 7\n",
    "commas": "road,128,64,128\ntraffic light,250,170,30\nsky,0,0,7\n",
    "commas and spaces": "road, 128, 64, 128\ntraffic light, 250, 170, 30\nsky, 0, 0, 7\n",
    "semicolons": "road;128;64;128\ntraffic light;250;170;30\nsky;0;0;7\n",
    "tabs": "road\t128\t64\t128\ntraffic light\t250\t170\t30\nsky\t0\t0\t7\n",
    "CSV with a header": "name,r,g,b\nroad,128,64,128\ntraffic light,250,170,30\nsky,0,0,7\n",
    "CSV with other columns": "r,g,b,Class,id\n128,64,128,road,0\n250,170,30,traffic light,1\n0,0,7,sky,2\n",
    "CSV with quotes": '"id","label","red","green","blue"\n"0","road","128","64","128"\n'
    '1,"traffic light",250,170,30\n2,sky,0,0,7',
    "CSV with hex": "name,color\nroad,#804080\ntraffic light,#FAAA1E\nsky,#000007\n",
    "hex": "road #804080\ntraffic light #faaa1e\nsky #000007\n",
    "colours first": "128 64 128\troad\n250 170 30\t\ttraffic light\n0 0 7\tsky\n",
    "numbers first": "0 road 128 64 128\n1 traffic light 250 170 30\n2 sky 0 0 7\n",
    "numbers with a colon": "0: road 128 64 128\n1: traffic light 250 170 30\n2: sky 0 0 7\n",
    "numbers and colours first": "0 128 64 128 road\n1 250 170 30 traffic light\n2 0 0 7 sky\n",
    "numbers, commas": "0,road,128,64,128\n1,traffic light,250,170,30\n2,sky,0,0,7\n",
    "CVAT": "# label:color_rgb:parts:actions\nroad:128,64,128::\ntraffic light:250,170,30::\nsky:0,0,7::\n",
    "comments": "# made by hand\nroad 128 64 128\n\ntraffic light 250 170 30\r\nsky 0 0 7",
}


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_read(tmp_path: Path, style: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(STYLES[style])
    labels = read_classes(path)
    assert labels.names == NAMES
    assert labels.colours == COLOURS
    assert labels.values == (0, 1, 2)
    assert labels.paint == tuple(zip(COLOURS, range(3), strict=True))


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("1 road\n3 sky\n", ("road", "sky"), (1, 3)),
        ("0,road\n1,void\n2,sky\n", ("road", "sky"), (0, 2)),
        ("id,name\n7,road\n11,sky\n", ("road", "sky"), (7, 11)),
        ("road\nlow, wall\n", ("road", "low, wall"), (0, 1)),
        ("4 wheels\n2 wheels\n", ("wheels", "wheels"), None),
        ("route 66\nlevel 2\n", ("route 66", "level 2"), (0, 1)),
    ],
)
def test_numbers_before_names_are_values(
    tmp_path: Path, text: str, names: tuple[str, ...], values: tuple[int, ...] | None
) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text)
    if values is None:
        with pytest.raises(InputError, match="wheels is there twice"):
            read_classes(path)
    else:
        labels = read_classes(path)
        assert (labels.names, labels.values) == (names, values)
        assert IGNORE in labels.void


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"road": [128, 64, 128]}', "this is no list of classes but JSON or XML"),
        ("road:128,64,128\nsky:0,0,7\n", "road:128,64,128: this is no name with a colour"),
        ("road 0.5 0.25 0.5\nsky 0.0 0.0 0.1\n", "road 0.5 0.25 0.5: this is no name with a colour"),
        ("128 64 128\n0 0 7\n", "128 64 128: this is no name with a colour"),
        ("road=#804080\nsky=#000007\n", "road=#804080: this is no name with a colour"),
        ("name\nroad\nsky\n", "name looks like the header of a table; remove the first line"),
        ("road,300,0,0\nsky,0,0,7\n", "road 300 0 0: a colour is three numbers from 0 to 255"),
        ("name,r,g,b\nroad,x,0,0\nsky,0,0,7\n", "road x 0 0: a colour is three numbers"),
        ("id,name\n1,road\n1,sky\n", "value 1 is there twice"),
        ("id,name\n1,road\n256,sky\n", "256 sky: a value is a number from 0 to 255"),
    ],
)
def test_what_is_no_style_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=f"classes.txt: {said}"):
        read_classes(path)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "classes.txt"
    path.write_text(text, "utf-8", "surrogatepass")
    try:
        labels = read_classes(path)
    except InputError as error:
        assert str(path) in str(error)
        return
    assert 2 <= len(labels.names) == len(labels.values) == len(labels.colours) == len(set(labels.values))
    assert not set(labels.values) & set(labels.void)
