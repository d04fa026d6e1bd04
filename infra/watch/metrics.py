"""The metrics of a function: its own (CloudWatch's embedded metric format), Lambda's, and values computed from both."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_

from configuration.groups import Compute

from .prices import COMPUTE, USD_PER_REQUEST

NAMESPACE = "ServerlessEmbeddings"
"""CloudWatch namespace that the runtime writes to."""
PERIOD = Duration.minutes(5)
DAY = Duration.days(1)
SECONDS_A_MONTH = 365 * 86_400 // 12


class Metrics:
    """Metrics of one function.

    Each method takes the period of the data points. The statistic is a sum, unless the method takes one.
    """

    def __init__(
        self, function: lambda_.IFunction, alias: lambda_.Alias, compute: Compute, provisioned_concurrency: int
    ) -> None:
        """Describe the metrics of a function.

        Args:
            function: The function.
            alias: The alias that is called.
            compute: Architecture and memory, which decide the price.
            provisioned_concurrency: Number of environments that are kept initialized.
        """
        self._function = function
        self._alias = alias
        self._compute = compute
        self._provisioned_concurrency = provisioned_concurrency

    def requests(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Requests, whatever their status; count."""
        return self._own("Requests", "Sum", period)

    def texts(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Texts embedded; count."""
        return self._own("Texts", "Sum", period)

    def tokens(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Tokens embedded, special tokens included; count."""
        return self._own("Tokens", "Sum", period)

    def truncated_texts(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Texts that were cut off because the model does not read so much; count."""
        return self._own("TruncatedTexts", "Sum", period)

    def windowed_texts(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Long texts that were read in windows; count."""
        return self._own("WindowedTexts", "Sum", period)

    def errors(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Requests answered with a status of 400 or more, the caller's mistakes included; count."""
        return self._own("Errors", "Sum", period)

    def internal_errors(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Faults that the service caught and reported, also in answers to direct invocations; count."""
        return self._own("Errors", "Sum", period, ErrorType="Internal")

    def errors_by_type(self, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """One series for each ``ErrorType`` that the runtime has written, found by a search; count."""
        search = (
            f'{{{NAMESPACE},FunctionName,ErrorType}} FunctionName="{self._function.function_name}" MetricName="Errors"'
        )
        return cloudwatch.MathExpression(
            expression=f"SEARCH('{search}', 'Sum', {period.to_seconds()})", label="", using_metrics={}, period=period
        )

    def latency(self, statistic: str = "p50", period: Duration = PERIOD) -> cloudwatch.Metric:
        """Time from event to answer inside the function, cold start excluded; milliseconds."""
        return self._own("Latency", statistic, period)

    def cold_starts(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """First requests of their environments; count."""
        return self._own("ColdStarts", "Sum", period)

    def cold_share(self, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """Share of the requests that waited for a cold start; percent."""
        return cloudwatch.MathExpression(
            expression="100 * cold / requests",
            label="% cold",
            period=period,
            using_metrics={"cold": self.cold_starts(period), "requests": self.requests(period)},
        )

    def init_duration(self, statistic: str = "p50", period: Duration = PERIOD) -> cloudwatch.Metric:
        """Time to load the model in a new environment; milliseconds."""
        return self._own("InitDuration", statistic, period)

    def memory_used(self, statistic: str = "Maximum", period: Duration = PERIOD) -> cloudwatch.Metric:
        """Peak memory of an environment; MiB. A level that rises with an environment's age is a leak."""
        return self._own("MemoryUsed", statistic, period)

    def invocations(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Invocations of the alias; count."""
        return self._alias.metric_invocations(statistic="Sum", period=period)

    def throttles(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Requests answered with 429 because ``reserved_concurrency`` was reached; count."""
        return self._alias.metric_throttles(statistic="Sum", period=period)

    def duration(self, statistic: str = "p99", period: Duration = PERIOD) -> cloudwatch.Metric:
        """Billed time of an invocation, without the init phase; milliseconds."""
        return self._alias.metric_duration(statistic=statistic, period=period)

    def failures(self, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """Invocations that crashed or timed out, answers with a status of 500 or more, and faults reported to direct
        invocations; count. Callers' mistakes are not among them."""
        return cloudwatch.MathExpression(
            # One failure may be counted by several of them.
            expression="MAX([FILL(crashes, 0), FILL(answers, 0), FILL(internal, 0)])",
            label="failures",
            period=period,
            using_metrics={
                "crashes": self._alias.metric_errors(statistic="Sum", period=period),
                "answers": self._alias.metric("Url5xxCount", statistic="Sum", period=period),
                "internal": self.internal_errors(period),
            },
        )

    def failed_share(self, version: lambda_.IVersion, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """Share of the alias's requests to ``version`` that crashed, timed out or were answered with 500 or more; percent. A
        single failure counts as none: with few requests it would be a large share.

        ``ExecutedVersion`` is Lambda's dimension for the two versions of an alias that is being shifted:
        https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
        """
        name = self._function.function_name
        of_version = {
            "FunctionName": name,
            "Resource": f"{name}:{self._alias.alias_name}",
            "ExecutedVersion": version.version,
        }
        crashes, calls = (
            cloudwatch.Metric(
                namespace="AWS/Lambda", metric_name=metric, dimensions_map=of_version, statistic="Sum", period=period
            )
            for metric in ("Errors", "Invocations")
        )
        failed = cloudwatch.MathExpression(
            expression="MAX([FILL(crashes, 0), FILL(answers, 0)])",
            period=period,
            using_metrics={
                "crashes": crashes,
                "answers": self._own("Failures", "Sum", period, Version=version.version),
            },
        )
        return cloudwatch.MathExpression(
            expression="IF(failed > 1, 100 * failed / calls, 0)",
            label="% failed",
            period=period,
            using_metrics={"failed": failed, "calls": calls},
        )

    def usd(self, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """Estimated charge of Lambda for the period, init phases and provisioned concurrency included; US dollars.

        By list price, without the free tier: ``infra.watch.prices``.
        """
        price, gigabytes = COMPUTE[self._compute.architecture], self._compute.memory_mb / 1024
        terms = {
            "(FILL(busy, 0) + FILL(init, 0))": price.on_demand * gigabytes / 1000,
            "FILL(calls, 0)": USD_PER_REQUEST,
            "PERIOD(calls)": price.provisioned * gigabytes * self._provisioned_concurrency,
        }
        return cloudwatch.MathExpression(
            # Without exponents: the CDK would take their "e" for the name of a metric.
            expression=" + ".join(f"{quantity} * {usd:.15f}" for quantity, usd in terms.items() if usd),
            label="US dollars",
            period=period,
            using_metrics={
                "busy": self._function.metric_duration(statistic="Sum", period=period),
                "init": self.init_duration("Sum", period),
                "calls": self._calls(period),
            },
        )

    def monthly_usd(self, period: Duration = DAY) -> cloudwatch.MathExpression:
        """The period's estimate, projected to a month; US dollars."""
        return cloudwatch.MathExpression(
            expression=f"usd * {SECONDS_A_MONTH} / PERIOD(calls)",
            label="US dollars a month",
            period=period,
            using_metrics={"usd": self.usd(period), "calls": self._calls(period)},
        )

    def usd_per_million_tokens(self, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """Estimated cost of a million tokens; US dollars. No data where there were no tokens."""
        return cloudwatch.MathExpression(
            expression="usd / tokens * 1000000",
            label="US dollars a million tokens",
            period=period,
            using_metrics={"usd": self.usd(period), "tokens": self.tokens(period)},
        )

    def _calls(self, period: Duration) -> cloudwatch.Metric:
        return self._function.metric_invocations(statistic="Sum", period=period)

    def _own(self, name: str, statistic: str, period: Duration, **dimensions: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"FunctionName": self._function.function_name} | dimensions,
            statistic=statistic,
            period=period,
        )
