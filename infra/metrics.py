"""What a service measures: its own metrics (embedded metric format, no call to AWS), Lambda's, and what follows of both."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_

from configuration.options import Compute

from .prices import COMPUTE, USD_PER_REQUEST

NAMESPACE = "ServerlessEmbeddings"
"""CloudWatch namespace that the runtime writes to."""
PERIOD = Duration.minutes(5)
DAY = Duration.days(1)
SECONDS_A_MONTH = 365 * 86_400 // 12


class ServiceMetrics:
    """The ``metric_*`` verbs of ``EmbeddingService``.

    Each takes the period of its data points; the statistic is the one that the name asks for.
    """

    function: lambda_.Function
    alias: lambda_.Alias
    compute: Compute
    provisioned_concurrency: int

    def metric_requests(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Requests, whatever their answer; count."""
        return self._own("Requests", "Sum", period)

    def metric_texts(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Texts embedded; count."""
        return self._own("Texts", "Sum", period)

    def metric_tokens(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Tokens embedded, special tokens included; count."""
        return self._own("Tokens", "Sum", period)

    def metric_errors(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Requests answered with a status of 400 or more, the caller's mistakes included; count."""
        return self._own("Errors", "Sum", period)

    def metric_internal_errors(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Faults of the service that it caught itself, in answers to direct invocations too; count."""
        return self._own("Errors", "Sum", period, ErrorType="Internal")

    def metric_latency(self, statistic: str = "p50", period: Duration = PERIOD) -> cloudwatch.Metric:
        """Time from event to answer inside the function, without a cold start; milliseconds."""
        return self._own("Latency", statistic, period)

    def metric_cold_starts(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Requests that an environment answered first; count."""
        return self._own("ColdStarts", "Sum", period)

    def metric_cold_share(self, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """Share of the requests that met a cold start; percent."""
        return cloudwatch.MathExpression(
            expression="100 * cold / requests",
            label="% cold",
            period=period,
            using_metrics={"cold": self.metric_cold_starts(period), "requests": self.metric_requests(period)},
        )

    def metric_init_duration(self, statistic: str = "p50", period: Duration = PERIOD) -> cloudwatch.Metric:
        """Time that loading took in a new environment; milliseconds."""
        return self._own("InitDuration", statistic, period)

    def metric_memory_used(self, statistic: str = "Maximum", period: Duration = PERIOD) -> cloudwatch.Metric:
        """Peak memory of an environment; MiB. A level that rises with an environment's age is a leak."""
        return self._own("MemoryUsed", statistic, period)

    def metric_invocations(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Invocations of the alias, warm-up calls included; count."""
        return self.alias.metric_invocations(statistic="Sum", period=period)

    def metric_throttles(self, period: Duration = PERIOD) -> cloudwatch.Metric:
        """Requests answered with 429 since ``reserved_concurrency`` was reached; count."""
        return self.alias.metric_throttles(statistic="Sum", period=period)

    def metric_duration(self, statistic: str = "p99", period: Duration = PERIOD) -> cloudwatch.Metric:
        """Billed time of an invocation, without the init phase; milliseconds."""
        return self.alias.metric_duration(statistic=statistic, period=period)

    def metric_failures(self, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """Invocations that crashed or timed out, answers with a status of 500 or more, and faults told to direct invocations;
        count. None of it is a caller's mistake."""
        return cloudwatch.MathExpression(
            # One failure may be counted by all of them.
            expression="MAX([FILL(crashes, 0), FILL(answers, 0), FILL(internal, 0)])",
            label="failures",
            period=period,
            using_metrics={
                "crashes": self.alias.metric_errors(statistic="Sum", period=period),
                "answers": self.alias.metric("Url5xxCount", statistic="Sum", period=period),
                "internal": self.metric_internal_errors(period),
            },
        )

    def metric_usd(self, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """Estimate of what Lambda charges for the period, init phases and provisioned concurrency included; US dollars.

        By list price, without the free tier: ``infra.prices``.
        """
        price, gigabytes = COMPUTE[self.compute.architecture], self.compute.memory_mb / 1024
        terms = {
            "(busy + FILL(init, 0))": price.on_demand * gigabytes / 1000,
            "calls": USD_PER_REQUEST,
            "PERIOD(calls)": price.provisioned * gigabytes * self.provisioned_concurrency,
        }
        return cloudwatch.MathExpression(
            # Without exponents: the CDK takes their "e" for the name of a metric.
            expression=" + ".join(f"{quantity} * {usd:.15f}" for quantity, usd in terms.items() if usd),
            label="US dollars",
            period=period,
            using_metrics={
                "busy": self.function.metric_duration(statistic="Sum", period=period),
                "init": self.metric_init_duration("Sum", period),
                "calls": self._calls(period),
            },
        )

    def metric_monthly_usd(self, period: Duration = DAY) -> cloudwatch.MathExpression:
        """The period's estimate, projected to a month; US dollars."""
        return cloudwatch.MathExpression(
            expression=f"usd * {SECONDS_A_MONTH} / PERIOD(calls)",
            label="US dollars a month",
            period=period,
            using_metrics={"usd": self.metric_usd(period), "calls": self._calls(period)},
        )

    def metric_usd_per_million_tokens(self, period: Duration = PERIOD) -> cloudwatch.MathExpression:
        """Estimate of the price of tokens; US dollars a million. Nothing where there were no tokens."""
        return cloudwatch.MathExpression(
            expression="usd / tokens * 1000000",
            label="US dollars a million tokens",
            period=period,
            using_metrics={"usd": self.metric_usd(period), "tokens": self.metric_tokens(period)},
        )

    def _calls(self, period: Duration) -> cloudwatch.Metric:
        return self.function.metric_invocations(statistic="Sum", period=period)

    def _own(self, name: str, statistic: str, period: Duration, **dimensions: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"FunctionName": self.function.function_name} | dimensions,
            statistic=statistic,
            period=period,
        )
