"""What is read from Serve's words on a deployment. All messages are as Serve 2.60 gave them, with fewer frames."""

import pytest
from ray.serve.schema import DeploymentStatusOverview

from deployments.serving.status import cause_in, stage_status

FRAMES = """\x1b[36mray::ServeReplica:app:sam.initialize_and_get_metadata()\x1b[39m (pid=5079, ip=192.0.2.2, \
actor_id=d24527f647c0c8b0ff566c5501000000, repr=<ray.serve._private.replica.ServeReplica:app:sam object at 0x7fbf7ad4>)
  File "/usr/lib/python3.11/concurrent/futures/_base.py", line 449, in result
    return self.__get_result()
           ^^^^^^^^^^^^^^^^^^^
  File "/app/site-packages/ray/serve/_private/replica.py", line 1928, in initialize
    raise RuntimeError(traceback.format_exc()) from None
RuntimeError: Traceback (most recent call last):
  File "/app/site-packages/ray/serve/_private/replica.py", line 1867, in initialize
    await self._user_callable_wrapper.initialize_callable()
  File "/app/deployments/sam/server.py", line 8, in __init__
    raise something
    ^^^^^^^^^^^^^^^
"""
RETRYING = "A replica failed to start with exception. Retrying 2 more time(s). Error:\n" + FRAMES
GIVEN_UP = (
    "The deployment failed to start 3 times in a row. This may be due to a problem with its constructor or initial "
    "health check failing. See controller logs for details. Error:\n" + FRAMES
)
UPDATE_FAILED = (
    "The deployment failed to start 3 times in a row during a rolling update. This may be due to a problem with its "
    "constructor, initial health check or health checks failing. The update is stopped and replicas of the previous "
    "version keep running until a new deploy. See controller logs for details. Error:\n" + FRAMES
)
SETTING = "deployments.errors.SettingError: sam.model: there is no file '/models/x.pth'; name a checkpoint"
CAUSE = "sam.model: there is no file '/models/x.pth'; name a checkpoint"
LACKING = (
    "Deployment 'sam' in application 'app' has 1 replicas that have taken more than 30s to be scheduled. This may be "
    "due to waiting for the cluster to auto-scale or for a runtime environment to be installed. Resources required for "
    'each replica: {"CPU": 1, "GPU": 2}, total resources available: {"CPU": 7.9, "GPU": 1.0}. Use `ray status` for '
    "more details."
)
SLOW = (
    "Deployment 'sam' in application 'app' has 1 replicas that have taken more than 30s to initialize.\n"
    "This may be caused by a slow __init__ or reconfigure method."
)
UNHEALTHY = (
    "A replica's health check failed. This deployment will be UNHEALTHY until the replica recovers or a new deploy "
    "happens."
)
CHAINED = """Traceback (most recent call last):
  File "/app/a.py", line 1, in __init__
    1 / 0
ZeroDivisionError: division by zero

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/a.py", line 3, in __init__
    raise SettingError("sam.model", "it divides") from error
deployments.errors.SettingError: sam.model: it divides"""
INVALID = """pydantic_core._pydantic_core.ValidationError: 1 validation error for SamSettings
max_batch_size
  Input should be greater than or equal to 1 [type=greater_than_equal, input_value=0, input_type=int]"""


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (RETRYING + SETTING, CAUSE),
        (GIVEN_UP + SETTING, CAUSE),
        (UPDATE_FAILED + SETTING, CAUSE),
        (RETRYING + SETTING.replace("SettingError", "NotOnThisMachine"), CAUSE),
        (RETRYING + CHAINED, "sam.model: it divides"),
        (RETRYING + "RuntimeError: CUDA out of memory", "RuntimeError: CUDA out of memory"),
        (RETRYING + "torch.OutOfMemoryError: 2.00 GiB", "OutOfMemoryError: 2.00 GiB"),
        (RETRYING + "ValueError: sam.model: no such file", "ValueError: sam.model: no such file"),
        (RETRYING + "AssertionError", "AssertionError"),
        (RETRYING + "RuntimeError: \x1b[31mno\x1b[0m disk", "RuntimeError: no disk"),
        (RETRYING + "OSError: no hub.\n  Check the net\nor path.\n", "OSError: no hub. Check the net or path."),
        (
            RETRYING + INVALID,
            "ValidationError: 1 validation error for SamSettings max_batch_size Input should be greater than or equal "
            "to 1 [type=greater_than_equal, input_value=0, input_type=int]",
        ),
        (
            "A replica failed to start with exception. Retrying 1 more time(s). Error:\nActorDiedError()",
            "ActorDiedError()",
        ),
        (LACKING, None),
        ("", None),
        (SLOW, None),
        (UNHEALTHY, None),
        ("Upscaling from 0 to 1 replicas.", None),
    ],
)
def test_the_cause_in_one_line(message, cause):
    assert cause_in(message) == cause


def test_what_a_replica_waits_for_is_no_failure():
    waiting = status_of("UPDATING", LACKING, STARTING=1)
    assert waiting.lacks == 'a replica needs {"CPU": 1, "GPU": 2} and the cluster has {"CPU": 7.9, "GPU": 1.0} free'
    assert waiting.cause is None
    assert status_of("UPDATING", RETRYING + SETTING).lacks is None


def test_a_deployment_that_was_given_up_always_has_a_cause():
    assert status_of("DEPLOY_FAILED", "Something new\n  went wrong.").cause == "Something new went wrong."


def test_a_cause_without_end_is_cut():
    cause = cause_in(RETRYING + "RuntimeError: missing keys" + "\n\tlayer.weight" * 500)
    assert cause.startswith("RuntimeError: missing keys layer.weight")
    assert len(cause) <= 1000


def status_of(status, message="", trigger="AUTOSCALING", **replicas):
    return stage_status(DeploymentStatusOverview(status, trigger, replicas, message))


@pytest.mark.parametrize(
    ("status", "message", "replicas", "ready"),
    [
        ("HEALTHY", "", {"RUNNING": 2}, True),
        ("HEALTHY", "", {}, True),  # scaled to zero
        ("UPSCALING", "Upscaling from 0 to 1 replicas.", {"STARTING": 1}, True),  # being woken up
        ("DOWNSCALING", "Downscaling from 1 to 0 replicas.", {"STOPPING": 1}, True),
        ("UPSCALING", SLOW, {"STARTING": 1}, True),
        ("UPSCALING", RETRYING + SETTING, {"STARTING": 1}, False),  # woken up, and cannot start
        ("UPSCALING", LACKING, {"STARTING": 1}, False),
        ("UPDATING", "", {}, False),  # just deployed
        ("UPDATING", "", {"STARTING": 1}, False),
        ("UPDATING", RETRYING + SETTING, {"STARTING": 1}, False),
        ("UPDATING", RETRYING + SETTING, {"RUNNING": 1, "STARTING": 1}, True),  # an update fails, the old one serves
        ("DEPLOY_FAILED", UPDATE_FAILED + SETTING, {"RUNNING": 1}, True),
        ("DEPLOY_FAILED", GIVEN_UP + SETTING, {"STOPPING": 1}, False),
        ("UPDATING", "", {"UPDATING": 1}, True),  # new settings reach a live replica
        ("UPDATING", "", {"RECOVERING": 1}, True),  # the controller was restarted
        ("UNHEALTHY", UNHEALTHY, {"STARTING": 1}, False),  # the only replica was killed
        ("UNHEALTHY", UNHEALTHY, {"RUNNING": 1, "STARTING": 1}, True),
    ],
)
def test_who_would_answer(status, message, replicas, ready):
    assert status_of(status, message, **replicas).ready is ready


def test_only_replicas_that_serve_are_counted():
    assert status_of("UPSCALING", RUNNING=2, STARTING=3, STOPPING=1).running == 2


@pytest.mark.parametrize(
    ("raised", "setting"),
    [
        (SETTING, "sam.model"),
        ("RuntimeError: sam.model: this was no error of ours", None),
        ("socket.gaierror: no such host", None),
        ("deployments.errors.SettingError: /models/x.pth: no", None),
    ],
)
def test_the_setting_at_fault(raised, setting):
    assert status_of("UPDATING", RETRYING + raised).setting == setting
    assert status_of("UPDATING").setting is None
