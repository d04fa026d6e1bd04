"""Clients of AWS's services, with botocore's usual places for credentials and region; and their errors as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from .errors import CommandError, ExitCode

LONGEST_CALL = 900
"""Seconds that the deployment may take for an estimate: Lambda's longest."""
NOT_ALLOWED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


@cache
def client(
    service: str, region: str | None = None, attempts: int = 8, connections: int = 10, seconds: int = LONGEST_CALL
):
    """A client of ``service``; by default in the region of the environment or the profile. It tries a call ``attempts`` times at
    most, has so many ``connections`` for calls at a time, and waits ``seconds`` for an answer.

    Raises:
        CommandError: no region is set, or the profile does not exist.
    """
    import botocore.session
    from botocore.config import Config

    from ..sigv4 import configured_region

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        read_timeout=seconds,
        max_pool_connections=connections,
    )
    with explained(f"use {service}"):
        session = botocore.session.get_session()
        return session.create_client(service, region or configured_region(session), config=config)


def executions(function: str, region: str | None = None) -> tuple[int, int]:
    """How many executions at a time ``function`` may have, and how many the whole account.

    Raises:
        CommandError: AWS refuses to tell.
    """
    with explained("ask how many functions may run at a time"):
        functions = client("lambda", region)
        reserved = functions.get_function_concurrency(FunctionName=function).get("ReservedConcurrentExecutions")
        limits = functions.get_account_settings()["AccountLimit"]
    most = limits["UnreservedConcurrentExecutions"] if reserved is None else reserved
    return most, limits["ConcurrentExecutions"]


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Turn AWS's errors in ``action``, such as "list s3://bucket", into a sentence.

    Raises:
        CommandError: the sentence.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    try:
        yield
    except NoCredentialsError:
        raise CommandError("there are no AWS credentials: run `aws configure`, or export AWS_PROFILE=…") from None
    except NoRegionError:
        raise CommandError("no AWS region is set: export AWS_REGION=… with the deployment's") from None
    except ClientError as error:
        code, message = (error.response["Error"].get(name, "") for name in ("Code", "Message"))
        if code in NOT_ALLOWED:
            raise CommandError(f"your AWS credentials may not {action}: {message}") from None
        if code == "NoSuchBucket":
            raise CommandError(f"cannot {action}: there is no such bucket") from None
        raise CommandError(f"cannot {action}: {code}: {message}", ExitCode.FAILED) from None
    except BotoCoreError as error:
        raise CommandError(f"cannot {action}: {error}", ExitCode.FAILED) from None
