"""Whether a file lies on a network disk. SQLite needs file locks that network disks do not give reliably."""

import re
from pathlib import Path

# beginnings of the types that /proc/mounts names
NETWORK_FILE_SYSTEMS = (
    *("nfs", "cifs", "smb", "afs", "9p", "ceph", "lustre", "gpfs", "glusterfs", "beegfs"),
    *("fuse.sshfs", "fuse.gluster", "fuse.ceph", "fuse.s3fs", "fuse.rclone"),
)
MOUNTS = Path("/proc/mounts")


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Finds out on what kind of network disk a file lies.

    Args:
        path: The file or folder; it need not exist.
        mounts: The system's list of mounted file systems.

    Returns:
        The type of the file system, such as `nfs4`; None for a local one, or where the system has no such list.
    """
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    place, best = path.resolve(), (0, "")
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1]))  # blanks are \040
        if place.is_relative_to(point) and len(point.parts) >= best[0]:
            best = (len(point.parts), fields[2])
    return best[1] if best[1].startswith(NETWORK_FILE_SYSTEMS) else None
