"""The steps as Lambda functions of a state machine: events in, the functions of this package, JSON out.

``plan`` takes ``{"job": …, "execution": ARN}`` and returns :class:`bulk.plan.Planned`; with ``"estimate": true`` it writes nothing
and returns :class:`bulk.plan.Estimate`. ``embed`` takes ``{"job": …, "split": …}`` and returns :class:`bulk.worker.Counts`.
``commit`` takes what ``plan`` returned and returns :class:`bulk.commit.Commit`.
"""


def plan(event: dict, context) -> dict:
    """Plan a run, or estimate its work."""
    raise NotImplementedError


def embed(event: dict, context) -> dict:
    """Embed one split."""
    raise NotImplementedError


def commit(event: dict, context) -> dict:
    """End a run."""
    raise NotImplementedError
