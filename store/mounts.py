"""On which kind of file system a store lies: SQLite's locks cannot be relied on over a network."""

from collections.abc import Mapping
from pathlib import Path

from store.errors import StoreError
from store.location import is_postgres, sqlite_path

MOUNTS = Path("/proc/self/mounts")
"""Where Linux lists what is mounted; nothing is known elsewhere."""
NETWORK = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "gfs2",
    "glusterfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
} | {"fuse.ceph", "fuse.davfs2", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "vboxsf", "virtiofs"}
FORCED = "TOKENTAPE_NETWORK_STORE"
"""A variable of the environment, by which a store may lie there all the same."""

_ESCAPED = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


def file_system(path: Path, mounts: Path = MOUNTS) -> str:
    """The kind of the file system that a path is on, or will be; empty where that is not known."""
    kind, longest = "", -1
    place = path.absolute()
    place = place.parent.resolve() / place.name
    for line in _lines(mounts):
        _, mounted, found, *_ = line.split(" ")
        for escaped, character in _ESCAPED.items():
            mounted = mounted.replace(escaped, character)
        depth = len(Path(mounted).parts)
        if place.is_relative_to(mounted) and depth >= longest:  # of several at one place the last one is on top
            kind, longest = found, depth
    return kind


def _lines(mounts: Path) -> list[str]:
    try:
        return mounts.read_text(errors="replace").splitlines()
    except OSError:
        return []


def refuse_network(url: str, environ: Mapping[str, str], mounts: Path = MOUNTS) -> None:
    """Raises: StoreError for a SQLite store that lies on another machine, unless that is forced."""
    if is_postgres(url) or environ.get(FORCED) == "1":
        return
    path = sqlite_path(url)
    if (kind := file_system(path, mounts)) in NETWORK:
        raise StoreError(
            f"{path} lies on a network file system ({kind}), where two programs may write at once: keep it on a disk of"
            f" this machine, or in PostgreSQL (or set {FORCED}=1)"
        )
