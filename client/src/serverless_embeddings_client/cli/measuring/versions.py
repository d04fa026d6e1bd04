"""A version of the function for the time of a measurement.

A fresh version has no environments, so its first requests are cold, and nobody else's requests reach it: the alias `live` and its
environments stay as they are. Lambda publishes a version only if the function's configuration ($LATEST, which serves nobody) has
changed since the last. So its description, and its memory where that is asked for, are changed, the version is published, and they
are put back at once; the version is deleted when all is measured. The description says what there was, so that the next run can put
back what a killed one has left.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...function import ALIAS, ARN, QUALIFIED
from ..aws import client, explained
from ..errors import CommandError, ExitCode

MARK = "embeddings measure"
_WAS = re.compile(rf"{MARK}; was (?P<memory>\d+) MB: (?P<description>.*)", re.DOTALL)
LONGEST_DESCRIPTION = 256
SAME = ("CodeSha256", "MemorySize", "Timeout", "Environment", "Architectures")
"""What has to be the same of $LATEST and of the alias, since a version is made of the one to stand for the other."""
WAITER = {"Delay": 1, "MaxAttempts": 600}


@dataclass(frozen=True)
class Leftovers:
    """What a run that was killed has left, or one that is under way is using."""

    changed: bool
    """The memory and the description of $LATEST are a run's."""
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
        if len(_marked(latest)) > LONGEST_DESCRIPTION:
            raise CommandError(f"{self.name}: its description is too long; with 200 characters it can be measured")

    def leftovers(self) -> Leftovers:
        """What another run has left."""
        with explained(f"list the versions of {self.name}"):
            pages = self.lambda_.get_paginator("list_versions_by_function").paginate(FunctionName=self.name)
            versions = [each for page in pages for each in page["Versions"]]
        return Leftovers(
            changed=bool(_WAS.fullmatch(self._configuration()["Description"])),
            versions=[each["Version"] for each in versions if each["Description"] == MARK],
        )

    def put_back(self) -> None:
        """Give $LATEST the memory and the description that it had, if a run has changed them."""
        latest = self._settled()
        if was := _WAS.fullmatch(latest["Description"]):
            self._update(latest, MemorySize=int(was["memory"]), Description=was["description"])

    def clean_up(self) -> None:
        """Put back $LATEST, and delete the versions of all runs."""
        self.put_back()
        for version in self.leftovers().versions:
            with explained(f"delete version {version} of {self.name}, which `embeddings measure` made"):
                self.lambda_.delete_function(FunctionName=self.name, Qualifier=version)

    @contextmanager
    def temporary_version(self, memory_mb: int) -> Iterator[str]:
        """A new version with ``memory_mb``, while the context lasts.

        Raises:
            CommandError: AWS refuses it; what there was is put back.
        """
        try:
            latest = self._settled()
            self._update(latest, MemorySize=memory_mb, Description=_marked(latest))
            version = self._publish()
            self.put_back()
            yield version
        finally:
            self.clean_up()

    def _publish(self) -> str:
        with explained(f"publish a version of {self.name}"):
            made = self.lambda_.publish_version(FunctionName=self.name, Description=MARK)
            if made["Description"] != MARK:
                raise CommandError(f"{self.name}: Lambda published no new version", ExitCode.FAILED)
            where = {"FunctionName": self.name, "Qualifier": made["Version"]}
            self.lambda_.get_waiter("published_version_active").wait(**where, WaiterConfig=WAITER)
        return made["Version"]

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

    def _update(self, latest: dict[str, Any], **values: Any) -> None:
        """Change $LATEST, if it is still as ``latest`` says."""
        with explained(f"change the configuration of {self.name}"):
            revision = latest["RevisionId"]
            self.lambda_.update_function_configuration(FunctionName=self.name, RevisionId=revision, **values)
        self._settled()


def _marked(latest: dict[str, Any]) -> str:
    return f"{MARK}; was {latest['MemorySize']} MB: {latest['Description']}"
