"""A version of the function for the time of a measurement.

A fresh version has no environments, so its first requests are cold, and nobody else's requests reach it: the alias `live` and its
environments stay as they are. Lambda publishes a version only if the function's configuration ($LATEST, which serves nobody) has
changed since the last. So its description, and its memory where that is asked for, are changed, the version is published, and they
are put back at once; the version is deleted when all is measured. The description says what there was and what the run has made of
it, so that the next run can put back what a killed one has left, and nobody else's change.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from ...function import ALIAS, ARN, QUALIFIED
from ..aws import client, executions, explained
from ..errors import CommandError, ExitCode

MARK = "embeddings measure"
_MARKED = re.compile(rf"{MARK} at (?P<memory>\d+) MB; was (?P<was>\d+) MB: (?P<description>.*)", re.DOTALL)
LONGEST_DESCRIPTION = 256
SAME = ("CodeSha256", "MemorySize", "Timeout", "Environment", "Architectures")
"""What has to be the same of $LATEST and of the alias, since a version is made of the one to stand for the other."""
LARGEST_MB = 10_240
"""Most memory of a Lambda function."""
WAITER = {"Delay": 1, "MaxAttempts": 600}


@dataclass(frozen=True)
class Leftovers:
    """What a run that was killed has left, or one that is under way is using."""

    changed: bool
    """The description of $LATEST is a run's."""
    versions: list[str]

    def __bool__(self) -> bool:
        return self.changed or bool(self.versions)


class Function:
    """The function that ``reference`` names: a name or an ARN, perhaps with an alias behind it in place of `live`.

    Raises:
        CommandError: no region is set, or there are no credentials.
    """

    def __init__(self, reference: str) -> None:
        self.name, self.alias = reference, ALIAS
        if QUALIFIED.search(reference):
            self.name, _, self.alias = reference.rpartition(":")
        in_arn = ARN.match(reference)
        self.region = in_arn["region"] if in_arn else None
        self.lambda_ = client("lambda", self.region)

    def served(self) -> dict[str, Any]:
        """The configuration of the version that the alias points at.

        Raises:
            CommandError: there is no such function or alias.
        """
        return self._configuration(self.alias)

    def check_same(self, served: dict[str, Any]) -> None:
        """Refuse a function whose $LATEST is not what the alias serves, as after a rollback.

        Raises:
            CommandError: it is not, or its description is too long.
        """
        latest = self._configuration()
        other = [name for name in SAME if latest.get(name) != served.get(name)]
        if other:
            raise CommandError(
                f"{self.name}: what was deployed last is not what the alias {self.alias} serves ({', '.join(other)} differ); "
                "deploy what is to be measured"
            )
        if len(_marked(latest, LARGEST_MB)) > LONGEST_DESCRIPTION:
            raise CommandError(f"{self.name}: its description is too long; with 200 characters it can be measured")

    def executions(self) -> tuple[int, int]:
        """How many executions at a time a version besides the alias's may have, and how many the whole account.

        Raises:
            CommandError: AWS refuses to tell.
        """
        may_run, account = executions(self.name, self.region)
        with explained(f"read what is provisioned for {self.name}:{self.alias}"):
            try:
                found = self.lambda_.get_provisioned_concurrency_config(FunctionName=self.name, Qualifier=self.alias)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ProvisionedConcurrencyConfigNotFoundException":
                    raise
                return may_run, account
        return may_run - found["RequestedProvisionedConcurrentExecutions"], account

    def leftovers(self) -> Leftovers:
        """What another run has left."""
        with explained(f"list the versions of {self.name}"):
            pages = self.lambda_.get_paginator("list_versions_by_function").paginate(FunctionName=self.name)
            versions = [each for page in pages for each in page["Versions"]]
        return Leftovers(
            changed=bool(_MARKED.fullmatch(self._configuration()["Description"])),
            versions=[each["Version"] for each in versions if each["Description"] == MARK],
        )

    def put_back(self) -> None:
        """Give $LATEST the description that it had, if a run has changed it, and its memory, if it is still the run's."""
        latest = self._settled()
        if marked := _MARKED.fullmatch(latest["Description"]):
            memory = {"MemorySize": int(marked["was"])} if latest["MemorySize"] == int(marked["memory"]) else {}
            self._update(latest, Description=marked["description"], **memory)

    def clean_up(self) -> None:
        """Put back $LATEST, and delete the versions of all runs.

        Raises:
            CommandError: AWS refuses it; the message says how to try again.
        """
        try:
            try:
                self.put_back()
            finally:
                self._delete_versions()
        except CommandError as error:
            raise CommandError(
                f"{error}; {self.name} is not as it was: run `embeddings measure` again, which puts it back first",
                error.exit_code,
            ) from None

    def _delete_versions(self) -> None:
        for version in self.leftovers().versions:
            # Lambda refuses what is done to a version that is still made. One that failed can be deleted.
            with suppress(WaiterError):
                self._wait_for(version)
            with explained(f"delete version {version} of {self.name}, which `embeddings measure` made"):
                self.lambda_.delete_function(FunctionName=self.name, Qualifier=version)

    @contextmanager
    def temporary_version(self, memory_mb: int, served: dict[str, Any]) -> Iterator[str]:
        """A new version of what the alias serves, with ``memory_mb``, while the context lasts.

        Raises:
            CommandError: AWS refuses it, or another change came between; what there was is put back.
        """
        try:
            latest = self._settled()
            self.check_same(served)
            changed = self._update(latest, MemorySize=memory_mb, Description=_marked(latest, memory_mb))
            version = self._publish(changed, served | {"MemorySize": memory_mb})
            yield version
        finally:
            self.clean_up()

    def _publish(self, latest: dict[str, Any], wanted: dict[str, Any]) -> str:
        """Publish $LATEST, if it is still as ``latest`` says, put it back, and wait for the version, which is as ``wanted``."""
        with explained(f"publish a version of {self.name}"):
            made = self.lambda_.publish_version(
                FunctionName=self.name,
                Description=MARK,
                RevisionId=latest["RevisionId"],
                CodeSha256=wanted["CodeSha256"],
            )
        # A change between the update and the look at $LATEST is in the revision that was published.
        if made["Description"] != MARK or any(made.get(name) != wanted.get(name) for name in SAME):
            raise CommandError(f"{self.name} was changed meanwhile; measure it when that is done", ExitCode.FAILED)
        self.put_back()
        with explained(f"wait for version {made['Version']} of {self.name}"):
            self._wait_for(made["Version"])
        return made["Version"]

    def _wait_for(self, version: str) -> None:
        waiter = self.lambda_.get_waiter("published_version_active")
        waiter.wait(FunctionName=self.name, Qualifier=version, WaiterConfig=WAITER)

    def _configuration(self, qualifier: str | None = None) -> dict[str, Any]:
        where = {"FunctionName": self.name} | ({"Qualifier": qualifier} if qualifier else {})
        with explained(f"read the configuration of {':'.join(where.values())}"):
            found = self.lambda_.get_function_configuration(**where)
        return {"Description": ""} | found

    def _settled(self) -> dict[str, Any]:
        """The configuration of $LATEST, when a change that is under way is done."""
        with explained(f"wait for the configuration of {self.name}"):
            self.lambda_.get_waiter("function_updated_v2").wait(FunctionName=self.name, WaiterConfig=WAITER)
        return self._configuration()

    def _update(self, latest: dict[str, Any], **values: Any) -> dict[str, Any]:
        """Change $LATEST, if it is still as ``latest`` says. Returns its configuration afterwards."""
        with explained(f"change the configuration of {self.name}"):
            revision = latest["RevisionId"]
            self.lambda_.update_function_configuration(FunctionName=self.name, RevisionId=revision, **values)
        return self._settled()


def _marked(latest: dict[str, Any], memory_mb: int) -> str:
    """The description of $LATEST while a run has changed it to ``memory_mb``."""
    return f"{MARK} at {memory_mb} MB; was {latest['MemorySize']} MB: {latest['Description']}"
