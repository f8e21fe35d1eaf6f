"""Ray's errors, as the driver tells them apart. In one process without Ray none of them is ever raised."""

from __future__ import annotations

from typing import Any

# The errors of a call whose replica, its replica's machine, or an earlier call's result is gone. Ray's memory
# monitor kills replicas too, and has an error of its own for them.
LOST: Any = ()
QUEUE_FULL: Any = ()
NOT_STARTED: Any = ()
ANY: Any = ()

try:
    from ray.exceptions import (
        LocalRayletDiedError,
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        RayActorError,
        RayError,
        WorkerCrashedError,
    )
    from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
except ImportError:
    pass
else:
    LOST = (
        RayActorError,
        RayServeException,
        ObjectLostError,
        NodeDiedError,
        WorkerCrashedError,
        LocalRayletDiedError,
        OutOfMemoryError,
    )
    QUEUE_FULL, NOT_STARTED, ANY = BackPressureError, DeploymentUnavailableError, RayError
