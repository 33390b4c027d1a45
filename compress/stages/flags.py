"""Command-line flags that are derived from the fields of a dataclass.

A field made by `flag` carries its default, its help text and its group. `add_flags` turns the fields into flags of a
command, and `values_of` turns what was given into the fields' values. So a default stands once, next to its field.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from search_spaces.errors import InputError

METADATA = "flag"


@dataclass(frozen=True)
class Flag:
    """How a field appears on the command line.

    Attributes:
        group: the title under which `--help` lists the flag.
        help: the flag's help text, without its choices and its default.
        choices: the values allowed; empty where any value may be given. An empty choice means "not given" and is not
            listed.
        listed: what `--help` lists in place of choices, where the values are not simply one of them.
        parse: turns the text given into the field's value; raises InputError that names the flag.
        type: the type of the text, as argparse takes it.
        names: other spellings that are accepted.
        unset: what `--help` gives as the default where the field's default says nothing.
        more: further arguments of argparse's `add_argument`.
    """

    group: str
    help: str
    choices: tuple[str, ...] = ()
    listed: str = ""
    parse: Callable[[Any], Any] | None = None
    type: Callable[[str], Any] | None = None
    names: tuple[str, ...] = ()
    unset: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


def flag(group: str, help: str, default: Any = MISSING, **more: Any) -> Any:
    """A dataclass field that is a flag too.

    Args:
        group: the title under which `--help` lists the flag.
        help: the flag's help text, without its choices and its default.
        default: the field's default; a field without one is a flag that must be given.
        more: the other attributes of `Flag`; what `Flag` does not have goes to argparse's `add_argument`.

    Returns:
        The field, for the body of a dataclass.
    """
    known = {one.name for one in fields(Flag)}
    own = {name: value for name, value in more.items() if name in known}
    rest = {name: value for name, value in more.items() if name not in known}
    return field(default=default, metadata={METADATA: Flag(group, help, more=rest, **own)})


def flag_name(name: str) -> str:
    """The first spelling of a field's flag: `budget_ms` is `--budget-ms`.

    Args:
        name: the field's name.

    Returns:
        The flag, with its dashes.
    """
    return "--" + name.replace("_", "-")


def flagged(options: type) -> list[tuple[Field[Any], Flag]]:
    """The fields of a dataclass that are flags.

    Args:
        options: the dataclass.

    Returns:
        Each field with its flag, in the order of the class.
    """
    return [(one, one.metadata[METADATA]) for one in fields(options) if METADATA in one.metadata]


def spelling(one: Field[Any]) -> str:
    """The flag of a field as messages give it.

    Args:
        one: the field, a flag or not.

    Returns:
        The first spelling, with its dashes.
    """
    of: Flag | None = one.metadata.get(METADATA)
    return of.names[0] if of and of.names else flag_name(one.name)


def add_flags(
    parser: argparse.ArgumentParser,
    *options: type,
    defaults: Mapping[str, object] | None = None,
    without: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> None:
    """Adds a flag to a command for every field that is one.

    Args:
        parser: the command's parser.
        options: the dataclasses.
        defaults: defaults that replace those of the fields, by field name, as text or as a value.
        without: names of fields that get no flag.
        groups: the order of the groups in `--help`; other groups follow.
    """
    replaced = defaults or {}
    found = [pair for one in options for pair in flagged(one) if pair[0].name not in without]
    order = list(dict.fromkeys([*groups, *(of.group for _, of in found)]))
    for title in order:
        group = parser.add_argument_group(title)
        for one, of in found:
            if of.group == title:
                _add(group, one, of, replaced.get(one.name, one.default))


def _add(group: Any, one: Field[Any], of: Flag, default: object) -> None:
    more = dict(of.more)
    if of.type is not None:
        more["type"] = of.type
    if of.choices:
        more.setdefault("metavar", "NAME")
    text = of.help
    listed = of.listed or ", ".join(filter(None, of.choices))
    notes = [listed] if listed else []
    if default is MISSING:
        more["required"] = True
    else:
        more["default"] = default
        shown = of.unset or ("" if default in ("", None, False) else str(default))
        if shown:
            notes.append(f"default: {shown}")
    if notes:
        text += f" ({'; '.join(notes)})"
    group.add_argument(*(of.names or (flag_name(one.name),)), dest=one.name, help=text.replace("%", "%%"), **more)


def values_of(options: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields' values from what a command line gave.

    Args:
        options: the dataclass.
        given: argparse's values by field name; a field that is not among them keeps its default.

    Returns:
        The values by field name, parsed.

    Raises:
        InputError: a value cannot be parsed.
    """
    values = {}
    for one, of in flagged(options):
        if one.name in given:
            value = given[one.name]
            values[one.name] = of.parse(value) if of.parse is not None and isinstance(value, str) else value
    return values


def check_choices(options: Any) -> None:
    """Raises InputError when a field's value is not among its choices.

    Args:
        options: a dataclass instance.

    Raises:
        InputError: the line names the flag, the value and the choices.
    """
    for one, of in flagged(type(options)):
        value = getattr(options, one.name)
        if of.choices and value not in of.choices:
            listed = ", ".join(filter(None, of.choices))
            raise InputError(f"{spelling(one)} {value}: choose from {listed}")
