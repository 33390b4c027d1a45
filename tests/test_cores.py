"""Which cores models are timed on."""

import pytest

from compress.latency.cores import check_cores, choose_cores, format_cores
from compress.latency.drift import plausible_celsius
from search_spaces.errors import InputError

# number, capacity, highest frequency in kHz, hardware thread
EQUAL = [[n, 0, 0, 0] for n in range(4)]
PHONE = [[n, 250, 1800000, 0] for n in range(4)] + [[n, 800, 2400000, 0] for n in (4, 5, 6)] + [[7, 1024, 2800000, 0]]
SAME_CLOCK = [[0, 1024, 2000000, 0], [1, 1024, 2000000, 0], [2, 400, 2000000, 0], [3, 400, 2000000, 0]]
# a laptop: two fast cores with two hardware threads each, then two slow ones with one
LAPTOP = [[0, 0, 5000000, 0], [1, 0, 5000000, 1], [2, 0, 5000000, 0], [3, 0, 5000000, 1]]
LAPTOP += [[4, 0, 3800000, 0], [5, 0, 3800000, 0]]


@pytest.mark.parametrize(
    ("described", "wanted", "threads", "numbers"),
    [
        (EQUAL, "big", 1, [3]),
        (EQUAL, "small", 4, [0, 1, 2, 3]),
        (PHONE, "big", 1, [7]),
        (PHONE, "big", 4, [4, 5, 6, 7]),
        (PHONE, "small", 2, [2, 3]),
        (PHONE, "0-5", 2, [4, 5]),
        (SAME_CLOCK, "big", 2, [0, 1]),
        (SAME_CLOCK, "small", 1, [3]),
        (LAPTOP, "big", 1, [2]),
        (LAPTOP, "big", 2, [0, 2]),
        (LAPTOP, "big", 4, [0, 2, 4, 5]),
        (LAPTOP, "small", 2, [4, 5]),
    ],
)
def test_the_fastest_of_the_wanted_cores(described: list, wanted: str, threads: int, numbers: list) -> None:
    assert [core.number for core in choose_cores(described, wanted, threads, "it")] == numbers


@pytest.mark.parametrize("wanted", ["", "bigger", "1-", "3-1", "1,,2", "-1", "0x1", "1 2", "99999"])
def test_other_spellings_are_refused(wanted: str) -> None:
    with pytest.raises(InputError, match=r"--cores .*: give big, small or numbers"):
        check_cores(wanted)


def test_cores_are_named_with_their_clock() -> None:
    assert format_cores(choose_cores(PHONE, "big", 2, "it")) == "6, 7 (2400 and 2800 MHz)"
    assert format_cores(choose_cores(EQUAL, "big", 1, "it")) == "3"


def test_readings_that_are_no_temperature_are_left_out() -> None:
    assert plausible_celsius([45000, 38, -273000, 0, 32768000, 101000]) == [45.0, 38, 101.0]
