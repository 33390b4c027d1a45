"""How processors are told apart, by files as boards have them."""

import pytest

from compress.latency.device_facts import name_processor

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC 7B13
cpu MHz\t\t: 2449.998

"""


def arm(*parts: str, implementer: str = "0x41", tail: str = "") -> str:
    """/proc/cpuinfo of a 64-bit ARM kernel."""
    core = "processor\t: {}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd\nCPU implementer\t: {}\nCPU part\t: {}\n\n"
    return "".join(core.format(i, implementer, part) for i, part in enumerate(parts)) + tail


def test_an_x86_processor_has_its_model_name() -> None:
    assert name_processor(X86 * 2, "", [3500000, 3500000]) == "AMD EPYC 7B13"


def test_two_arm_boards_have_two_names() -> None:
    four = name_processor(arm(*["0xd08"] * 4), "Raspberry Pi 4 Model B Rev 1.4", [1800000] * 4)
    five = name_processor(arm(*["0xd0b"] * 4), "Raspberry Pi 5 Model B Rev 1.0", [2400000] * 4)
    assert four == "Raspberry Pi 4 Model B Rev 1.4: 4 cores 0x41/0xd08 at 1800 MHz"
    assert five == "Raspberry Pi 5 Model B Rev 1.0: 4 cores 0x41/0xd0b at 2400 MHz"


@pytest.mark.parametrize(
    ("cpuinfo", "model", "khz", "name"),
    [
        (
            arm("0xd05", "0xd05", "0xd0b", "0xd0b"),
            "Radxa ROCK 5B",
            [1800000, 1800000, 2400000, 2400000],
            "Radxa ROCK 5B: 2 cores 0x41/0xd05 at 1800 MHz + 2 cores 0x41/0xd0b at 2400 MHz",
        ),
        (arm("0xd0c", "0xd0c"), "", [], "2 cores 0x41/0xd0c"),  # a server in the cloud: no device tree, no cpufreq
        (arm("0xd08", "0xd08"), "", [1500000], "2 cores 0x41/0xd08 at 1500 MHz"),  # one core is off
        # a 32-bit kernel prints a model name that every Raspberry Pi from 2 to 4 has
        (
            "model name\t: ARMv7 Processor rev 3 (v7l)\n" + arm("0xd08", tail="Hardware\t: BCM2711\n"),
            "Raspberry Pi 4 Model B Rev 1.1",
            [1500000],
            "Raspberry Pi 4 Model B Rev 1.1: 1 cores 0x41/0xd08 at 1500 MHz",
        ),
        ("processor\t: 0\nisa\t\t: rv64imafdc\n", "StarFive VisionFive 2 v1.3B", [], "StarFive VisionFive 2 v1.3B"),
        ("", "", [], ""),
        ("no colon\n\xff\n", "", [], ""),
    ],
)
def test_names_of_other_processors(cpuinfo: str, model: str, khz: list[int], name: str) -> None:
    assert name_processor(cpuinfo, model, khz) == name


def test_an_overclocked_board_is_another_processor() -> None:
    names = {name_processor(arm(*["0xd08"] * 4), "Raspberry Pi 4", [khz] * 4) for khz in (1500000, 1800000, 2000000)}
    assert len(names) == 3
