"""Which JSON values config.json may hold, by the type that a setting is declared with."""

from typing import Any

JSON_TYPES: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    float | None: (int, float, type(None)),
    int | None: (int, type(None)),
    tuple[int, int]: (int,),
}


def check_type(key: str, value: object, declared: Any) -> None:
    """Refuses a value that has not the type of its setting.

    Args:
        key: The setting's key in config.json.
        value: The value; of a pair each part is checked.
        declared: The type that the setting is declared with, a key of JSON_TYPES.

    Raises:
        TypeError: The type is another.
    """
    for part in value if isinstance(value, tuple) else (value,):
        if not isinstance(part, JSON_TYPES[declared]) or isinstance(part, bool):
            raise TypeError(f"{key} is {part!r}")
