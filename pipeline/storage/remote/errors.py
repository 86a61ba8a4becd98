"""Errors of object stores, classified by their remedy.

Each store's client raises classes of its own; they are recognised by Python's base classes, and else by name, so that
no client need be installed.
"""

from __future__ import annotations

import errno
from enum import StrEnum


class StoreFault(StrEnum):
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
"""Errors of the local disk in a download or an upload."""
NAMES = {
    "NoCredentialsError": StoreFault.NO_CREDENTIALS,
    "PartialCredentialsError": StoreFault.NO_CREDENTIALS,
    "CredentialRetrievalError": StoreFault.NO_CREDENTIALS,
    "ProfileNotFound": StoreFault.NO_CREDENTIALS,
    "TokenRetrievalError": StoreFault.NO_CREDENTIALS,
    "DefaultCredentialsError": StoreFault.NO_CREDENTIALS,
    "RefreshError": StoreFault.NO_CREDENTIALS,
}
TEXTS = {
    "InvalidAccessKeyId": StoreFault.DENIED,
    "SignatureDoesNotMatch": StoreFault.DENIED,
    "AccessDenied": StoreFault.DENIED,
    "ExpiredToken": StoreFault.DENIED,
    "PreconditionFailed": StoreFault.EXISTS,
    "At least one of the pre-conditions": StoreFault.EXISTS,
    "ConditionalRequestConflict": StoreFault.EXISTS,
    "NoSuchBucket": StoreFault.NO_BUCKET,
    "bucket does not exist": StoreFault.NO_BUCKET,
}


def name_fault(error: BaseException) -> StoreFault:
    """The fault of an exception; unknown ones are `UNREACHABLE`, and so are retried."""
    chain = [error, *filter(None, (error.__cause__, error.__context__))]
    for link in chain:
        if type(link).__name__ in NAMES:
            return NAMES[type(link).__name__]
        for text, fault in TEXTS.items():
            if text in str(link):
                return fault
    if isinstance(error, FileNotFoundError):
        return StoreFault.ABSENT
    if isinstance(error, FileExistsError):
        return StoreFault.EXISTS
    if isinstance(error, PermissionError):
        return StoreFault.DENIED
    return StoreFault.LOCAL if isinstance(error, OSError) and error.errno in LOCAL_ERRNOS else StoreFault.UNREACHABLE


def explain(fault: StoreFault, error: BaseException) -> tuple[str, str]:
    """The cause and the remedy of a fault."""
    text = " ".join(str(error).split())[:200] or type(error).__name__
    return {
        StoreFault.ABSENT: ("not there", "check the address; a bucket is not made by rampforge"),
        StoreFault.EXISTS: ("is there already", RESUME),
        StoreFault.NO_CREDENTIALS: ("no credentials for this store", CREDENTIALS),
        StoreFault.DENIED: (f"the store denies it ({text})", "ask for the right to read, write, list and delete there"),
        StoreFault.NO_BUCKET: ("the bucket does not exist", "make it, or check the address"),
        StoreFault.LOCAL: (f"this machine's disk: {text}", f"free some space; {RESUME}"),
        StoreFault.UNREACHABLE: (f"the store does not answer ({text})", f"try again when it does; {RESUME}"),
    }[fault]
