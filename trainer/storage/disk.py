"""What a local disk refuses, as a sentence that names the folder, the room and the mend.

TensorFlow's errors are known by their text: nothing here imports it.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator

from trainer.errors import DiskError, UserError
from trainer.storage.bucket import is_gs
from trainer.storage.bucket_errors import is_at_fault, reason

_FULL = {
    errno.ENOSPC: ("its disk is full", "Make room there"),
    errno.EDQUOT: (
        "this account's quota there is used up",
        "Delete files of this account there, or ask for a larger quota,",
    ),
    errno.EFBIG: ("files may not grow as large there", "Raise ulimit -f"),
}
_REFUSED = {
    errno.EACCES: "this account may not do that",
    errno.EPERM: "this account may not do that",
    errno.EROFS: "its file system is read-only",
}
_BROKEN = {
    errno.EIO: "its disk fails, see dmesg",
    errno.ESTALE: "its network file system has lost it",
}
_TOO_MANY = {
    errno.EMFILE: (
        "it is one more than a process may open here",
        "raise ulimit -n, or give fewer --shards where records are prepared",
    ),
}
_NUMBERS = {os.strerror(number): number for number in (*_FULL, *_REFUSED, *_BROKEN, *_TOO_MANY)}
# As in "{{function_node ...}} /runs/a/config.json; No space left on device", or after "UNKNOWN: ".
_TOLD = re.compile(
    rf"^(?:.*\}}\}} |[A-Z_]+: )?(.*?); ({'|'.join(map(re.escape, _NUMBERS))})", re.MULTILINE
)


@contextlib.contextmanager
def naming_the_disk(path: str = "", needed_bytes: int = 0) -> Iterator[None]:
    """Turns what a disk refuses into one sentence; all other errors pass.

    Args:
        path: of what is accessed, where the error may not tell it.
        needed_bytes: what is about to be written, 0 where that is not known.

    Raises:
        DiskError: says what refused, why, how much room there is, and the mend.
    """
    try:
        yield
    except Exception as error:
        found = _refusal(error)
        if not found:
            raise
        told, number = found
        raise DiskError(_sentence(told or path, number, needed_bytes)) from error


@contextlib.contextmanager
def naming_the_writing(path: str, needed_bytes: int = 0) -> Iterator[None]:
    """Turns whatever TensorFlow raises while it writes files of its own into one sentence.

    It reads them back, and where that fails it may be a ValueError, or an error that names no file
    (2.21). Errors on gs:// pass, and what no disk is to blame for.

    Args:
        path: of what is written.
        needed_bytes: as `naming_the_disk` takes it.

    Raises:
        DiskError: as `naming_the_disk`, or says that what was written is not there.
    """
    try:
        yield
    except Exception as error:
        is_of_memory = isinstance(error, MemoryError) or "OOM when allocating" in str(error)
        if is_gs(path) or is_of_memory or isinstance(error, (TypeError, AttributeError)):
            raise
        if found := _refusal(error) or _told_refusal(str(error)):
            raise DiskError(_sentence(found[0] or path, found[1], needed_bytes)) from error
        raise DiskError(
            f"{path} cannot be written and read back ({reason(error)}): its disk may fail, see "
            "dmesg; give the same command again once it works, or choose another folder."
        ) from error


def storage_refused(error: BaseException) -> bool:
    """Whether a disk or Google Cloud Storage refused, and the file may be as it should."""
    return is_at_fault(error) or _refusal(error) is not None


def free_bytes(path: str) -> int:
    """Room on the disk where a local path is, or would be made."""
    return shutil.disk_usage(_folder_there(path)).free


def check_room(path: str, needed_bytes: int, what: str, mend: str) -> None:
    """Checks that the disk of a local path has room; whether a bucket has, nobody knows.

    Args:
        path: where something is to be written.
        needed_bytes: about what it takes.
        what: it is, with its flag, up to the verb: "--output=a.npz: 9 images take".
        mend: what to do where there is too little, as an imperative.

    Raises:
        UserError: says how much is needed and free, and the mend.
    """
    if not is_gs(path) and needed_bytes > (free := free_bytes(path)):
        raise UserError(
            f"{what} about {amount(needed_bytes)}, and the disk has {amount(free)} free: {mend}."
        )


def amount(size: int) -> str:
    """Bytes for a reader, such as `1.3 GB`."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _refusal(error: BaseException) -> tuple[str, int] | None:
    """The path, empty where it is not told, and the errno of an error that a disk made."""
    if isinstance(error, OSError):
        number = error.errno or 0
        return (str(error.filename or ""), number) if number in _NUMBERS.values() else None
    if "OpError" not in {kind.__name__ for kind in type(error).mro()}:
        return None
    return _told_refusal(str(error))


def _told_refusal(text: str) -> tuple[str, int] | None:
    found = _TOLD.search(text)
    return (found[1], _NUMBERS[found[2]]) if found else None


def _sentence(path: str, number: int, needed_bytes: int) -> str:
    # Without a local path nobody knows which disk it is: not that of the current folder.
    folder = _folder_there(path) if path and not is_gs(path) else ""
    if number in _FULL:
        why, mend = _FULL[number]
        sizes = [f"{amount(needed_bytes)} needed"] * bool(needed_bytes)
        sizes += [f"{amount(free_bytes(folder))} free"] if folder and number == errno.ENOSPC else []
        told = f" ({', '.join(sizes)})" if sizes else ""
        return (
            f"{folder or 'the folder of a file'} has no room: {why}{told}. "
            f"{mend} and give the same command again; what was saved before is whole."
        )
    if number in _TOO_MANY:
        why, mend = _TOO_MANY[number]
        return f"{path or 'a file'} cannot be opened ({os.strerror(number)}): {why}; {mend}."
    why = (_REFUSED | _BROKEN)[number]
    mend = "give the same command again once it works, or choose another folder"
    if number in _REFUSED:
        there = path if os.path.lexists(path) else folder
        readable = not there or os.access(there, os.R_OK)
        mend = f"let it write in {folder or 'its folder'}" if readable else f"let it read {there}"
        mend += ", or choose another folder"
    return f"{path or 'a file'} cannot be read or written ({os.strerror(number)}): {why}; {mend}."


def _folder_there(path: str) -> str:
    folder = os.path.abspath(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder
