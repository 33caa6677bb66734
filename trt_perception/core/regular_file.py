"""Reads regular files only: refuses folders, pipes and devices."""
import errno
import os
import stat


def read_regular(path: str, most_bytes: int) -> bytes:
    """Return the content of a regular file; ~ is the home folder.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger than `most_bytes`.
    """
    try:
        descriptor = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # A NUL in the path.
        raise OSError(errno.EINVAL, str(error), path) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, 'not a regular file', path)
        if status.st_size > most_bytes:
            raise OSError(errno.EFBIG, 'larger than {} bytes'.format(most_bytes), path)
        with open(descriptor, 'rb', closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)
