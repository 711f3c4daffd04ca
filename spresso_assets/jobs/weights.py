"""A stream belongs to the weights that made it: with others its bytes decode to noise."""

from spresso_assets.catalog.models import EncodeProfile
from spresso_assets.errors import ExitCode, FaultKind, SpressoError


def require_weights(profile: EncodeProfile, weights: str, found: str) -> None:
    """Hold the hash of a profile's weights against that of the loaded ones.

    Raises:
        SpressoError: ``weights_mismatch``; an environment's fault, so that the queue pauses and no job fails.
    """
    if found != weights:
        raise SpressoError(
            f"The profile '{profile.name}' belongs to the weights {weights[:8]}; the loaded ones are {found[:8]}",
            code="weights_mismatch",
            hint="Name the right bundle with --bundle, or register the new one with 'spresso init'",
            exit_code=ExitCode.MODEL_MISSING,
            kind=FaultKind.ENVIRONMENT,
        )
