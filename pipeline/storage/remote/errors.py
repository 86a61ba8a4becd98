"""What can go wrong with an object store, named by what a person can do about it.

Each store's client raises kinds of its own; they are told apart by Python's own kinds where it has them, and else by
name, so that no client need be installed.
"""

from __future__ import annotations

import errno
from enum import StrEnum


class Fault(StrEnum):
    """Why a request failed."""

    ABSENT = "absent"
    EXISTS = "exists"
    NO_CREDENTIALS = "no_credentials"
    DENIED = "denied"
    NO_BUCKET = "no_bucket"
    LOCAL = "local"
    UNREACHABLE = "unreachable"


RESUME = "finished records are kept: `rampforge resume RUN` goes on"
CREDENTIALS = "for S3 set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role gives them"
LOCAL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of this machine's own disk, which a download or an upload may meet."""
NAMES = {
    "NoCredentialsError": Fault.NO_CREDENTIALS,
    "PartialCredentialsError": Fault.NO_CREDENTIALS,
    "CredentialRetrievalError": Fault.NO_CREDENTIALS,
    "ProfileNotFound": Fault.NO_CREDENTIALS,
    "TokenRetrievalError": Fault.NO_CREDENTIALS,
    "DefaultCredentialsError": Fault.NO_CREDENTIALS,
    "RefreshError": Fault.NO_CREDENTIALS,
}
WORDS = {
    "InvalidAccessKeyId": Fault.DENIED,
    "SignatureDoesNotMatch": Fault.DENIED,
    "AccessDenied": Fault.DENIED,
    "ExpiredToken": Fault.DENIED,
    "PreconditionFailed": Fault.EXISTS,
    "At least one of the pre-conditions": Fault.EXISTS,
    "ConditionalRequestConflict": Fault.EXISTS,
    "NoSuchBucket": Fault.NO_BUCKET,
    "bucket does not exist": Fault.NO_BUCKET,
}


def name_fault(error: BaseException) -> Fault:
    """Which fault an exception stands for. Unknown ones count as a store that does not answer: they are tried again."""
    chain = [error, *filter(None, (error.__cause__, error.__context__))]
    for link in chain:
        if type(link).__name__ in NAMES:
            return NAMES[type(link).__name__]
        for words, fault in WORDS.items():
            if words in str(link):
                return fault
    if isinstance(error, FileNotFoundError):
        return Fault.ABSENT
    if isinstance(error, FileExistsError):
        return Fault.EXISTS
    if isinstance(error, PermissionError):
        return Fault.DENIED
    return Fault.LOCAL if isinstance(error, OSError) and error.errno in LOCAL_ERRNOS else Fault.UNREACHABLE


def explain(fault: Fault, error: BaseException) -> tuple[str, str]:
    """What is wrong, and what to do."""
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return {
        Fault.ABSENT: ("not there", "check the address; a bucket is not made by rampforge"),
        Fault.EXISTS: ("is there already", RESUME),
        Fault.NO_CREDENTIALS: ("no credentials for this store", CREDENTIALS),
        Fault.DENIED: (f"the store denies it ({said})", "ask for the right to read, write, list and delete there"),
        Fault.NO_BUCKET: ("the bucket does not exist", "make it, or check the address"),
        Fault.LOCAL: (f"this machine's disk: {said}", f"free some space; {RESUME}"),
        Fault.UNREACHABLE: (f"the store does not answer ({said})", f"try again when it does; {RESUME}"),
    }[fault]
