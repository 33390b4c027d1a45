"""`~` at the beginning of a path that the user typed. Shells expand it at the beginning of a word alone."""

import os.path


def expand_home(text: str) -> str:
    """Replaces `~` at the beginning of a path by the user's home folder.

    Args:
        text: The path as the user typed it.

    Returns:
        The path; another one is left as it is, also one of a user who is not known.
    """
    return os.path.expanduser(text)  # noqa: PTH111 (Path would change ./largest into largest)
