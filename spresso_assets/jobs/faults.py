"""What an exception means for a job: every fault becomes a `SpressoError` with a code and a kind."""

import errno

from spresso_assets.errors import ExitCode, FaultKind, SpressoError
from spresso_assets.jobs.memory import memory_fault

FULL = (errno.ENOSPC, errno.EDQUOT)


def about_the_model(error: SpressoError) -> SpressoError:
    """Faults of the model (exit code 13) concern every job that needs it: they pause the queue and fail no job."""
    if error.exit_code is not ExitCode.MODEL_MISSING or error.kind is FaultKind.ENVIRONMENT:
        return error
    return SpressoError(
        error.message,
        code=error.code,
        hint=error.hint,
        exit_code=error.exit_code,
        kind=FaultKind.ENVIRONMENT,
        details=error.details,
    )


def as_spresso_error(error: BaseException) -> SpressoError:
    """The error itself if it is one of ours, else the nearest match.

    Out of memory and input/output errors may pass; a full disk needs a person; anything else is a defect of this
    program, which trying again would only repeat.
    """
    if isinstance(error, SpressoError):
        return error
    if (about_memory := memory_fault(error)) is not None:
        return about_memory
    if isinstance(error, OSError):
        full = error.errno in FULL
        where = f"{error.filename}: " if error.filename else ""
        return SpressoError(
            f"{where}{error.strerror or error}",
            code="disk_full" if full else "io_error",
            hint="Free some space" if full else "Check the disk or share; it will be tried again",
            kind=FaultKind.ENVIRONMENT if full else FaultKind.RETRYABLE,
        )
    return SpressoError(
        f"{type(error).__name__}: {error}",
        code="internal_error",
        hint="This is a defect of the program: 'spresso jobs show' has the details to report",
    )
