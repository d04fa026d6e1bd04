"""What a person reads about a job: its estimate before, its progress during, its bill after."""

from dataclasses import dataclass
from math import ceil

FASTEST, SLOWEST = 0.75, 1.4
"""Lambda's CPUs differ by 1.7 (docs/bulk.md). The one of the sample may be a fast or a slow one; a job's are a mixture."""
START_SECONDS = 20
"""The plan, the commit, and the first start of the functions."""


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would take."""
    for unit, size, most in (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 48 * 3600)):
        if seconds < most:
            value = seconds / size
            return f"{value:.1f} {unit}" if unit == "h" else f"{max(value, 1):.0f} {unit}"
    return f"{seconds / 86400:.1f} days"


def dollars(usd: float) -> str:
    """Dollars with cents, and with more digits if there are only some cents."""
    return f"${usd:,.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.4f}"


def size(count: float) -> str:
    """Bytes in the unit that a person would take."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _lines(pairs: dict[str, str]) -> str:
    return "\n".join(f"{name:<10} {text}" for name, text in pairs.items())


def estimate(forecast: dict, at_once: int, account: int | None = None) -> str:
    """What a run would take.

    Args:
        forecast: ``bulk.plan.Forecast`` as JSON, with ``usd_per_second`` if it costs anything.
        at_once: How many splits are embedded at a time.
        account: Concurrent executions of the account.
    """
    todo, splits = forecast["todo"], forecast["splits"]
    rows = max(todo["rows"], 1)
    pairs = {}
    if forecast["done"]:
        pairs["continues"] = f"{forecast['done']:,} splits are done and stay as they are"
    if not splits:
        return _lines(pairs | {"to do": "nothing: all objects of the input are embedded; the job counts them again"})
    pairs["to do"] = (
        f"{todo['objects']:,} objects, {size(todo['bytes'])}: about {todo['rows']:,} rows and {todo['tokens']:,} tokens "
        f"({todo['tokens'] / rows:.0f} a row), in {splits:,} splits"
    )
    pairs["measured"] = f"{todo['sampled_rows']:,} rows of the input: {1000 * todo['seconds'] / rows:.1f} ms a row"
    pairs["at once"] = f"{at_once:,} splits" + (f"; the account may run {account:,} functions" if account else "")
    if at_once < min(forecast.get("concurrency", 0), splits):
        pairs["at once"] += f", so fewer than the job's {forecast['concurrency']:,}: ask for more at Service Quotas"
    waves = ceil(splits / max(at_once, 1))
    low, high = (waves * todo["seconds"] / splits * factor + START_SECONDS for factor in (FASTEST, SLOWEST))
    pairs["time"] = _range(duration(low), duration(high))
    if price := forecast.get("usd_per_second"):
        low, high = (todo["seconds"] * price * factor for factor in (FASTEST, SLOWEST))
        pairs["cost"] = f"{_range(dollars(low), dollars(high))} for Lambda, by list price"
    return _lines(pairs)


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Progress:
    """How far a run is. Rows are estimated from the splits on AWS, and counted on folders."""

    rows: int
    of_rows: int
    splits: int
    of_splits: int
    failed: int = 0
    seconds: float = 0.0
    """Since the first split started."""
    expected_seconds: float = 0.0
    """How long it takes by the plan; used until a split is done."""
    usd: float | None = None

    @property
    def text(self) -> str:
        """Splits, rows, rate, time left and dollars so far."""
        parts = [f"{self.splits:,} of {self.of_splits:,} splits", f"{self.rows:,} of about {self.of_rows:,} rows"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if self.rows and self.seconds:
            parts.append(f"{self.rows / self.seconds:,.0f} rows/s")
        if self.rows < self.of_rows and (self.rows or self.expected_seconds):
            parts.append(f"{duration(self._left)} left")
        if self.usd is not None:
            parts.append(f"about {dollars(self.usd)} so far")
        return ", ".join(parts)

    @property
    def _left(self) -> float:
        if not self.rows:
            return max(self.expected_seconds - self.seconds, 0)
        return self.seconds * (self.of_rows - self.rows) / self.rows


def bill(commit: dict, errors_command: str, seconds: float | None = None) -> str:
    """What a run has made, and what it cost.

    Args:
        commit: ``bulk.commit.Commit`` as JSON.
        errors_command: Lists the rows that were not embedded.
        seconds: How long the run took.
    """
    new, total = commit["new"], commit["total"]
    pairs = {"output": commit["job"]["output"], "model": commit["model"]}
    pairs["rows"] = _both(f"{new['rows']:,}", f"{total['rows']:,}")
    if total["errors"]:
        pairs["refused"] = _both(f"{new['errors']:,}", f"{total['errors']:,}") + f"; `{errors_command}` says why"
    pairs["tokens"] = _both(f"{new['tokens']:,}", f"{total['tokens']:,}")
    if total["truncated"]:
        pairs["cut off"] = (
            f"{total['truncated']:,} rows are longer than the model takes; --long-texts window reads all of them"
        )
    if commit["repeated_ids"]:
        pairs["ids"] = f"{commit['repeated_ids']:,} rows have an id that another row has, too"
    work = _both(duration(new["seconds"]), duration(total["seconds"]))
    pairs["work"] = f"{work} of one function" if commit["usd"] is not None else f"{work} of one process"
    if seconds is not None:
        pairs["took"] = duration(seconds)
    if commit["usd"] is not None:
        share = new["seconds"] / total["seconds"] if total["seconds"] else 0
        pairs["cost"] = _both(dollars(commit["usd"] * share), dollars(commit["usd"])) + " for Lambda, by list price"
    return _lines(pairs)


def _both(new: str, total: str) -> str:
    """The figure of a run, and that of the output where runs before it have added to it."""
    return new if new == total else f"{new}, with earlier runs {total}"
