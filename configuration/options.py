"""Every option of a deployment, in groups: the reference for the construct's props and for ``cdk.json``'s keys alike.

A group is a frozen, validated object with defaults; ``configuration.configuration`` reads the same fields from the context by the same
names. Empty strings and ``null`` both mean "not set", since ``-c key=`` can hand over nothing else.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .settings import parse_json

LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)  # fmt: skip
"""What CloudWatch Logs accepts: API reference of PutRetentionPolicy."""

TrafficShifting = Literal[
    "all_at_once",
    "canary_10_percent_5_minutes",
    "canary_10_percent_10_minutes",
    "canary_10_percent_15_minutes",
    "canary_10_percent_30_minutes",
    "linear_10_percent_every_1_minute",
    "linear_10_percent_every_2_minutes",
    "linear_10_percent_every_3_minutes",
    "linear_10_percent_every_10_minutes",
]


def _split(value: Any) -> Any:
    """A list, from a list, JSON, or words with commas between them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return parse_json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _retention(value: int) -> int:
    if value not in LOG_RETENTION_DAYS:
        raise ValueError(f"logs are kept for one of {', '.join(map(str, LOG_RETENTION_DAYS))} days")
    return value


def _arn(value: str) -> str:
    if not value.startswith(("arn:", "${Token")):  # what another construct made has its ARN only when it is deployed
        raise ValueError("it has to be an ARN (arn:aws:…)")
    return value


def _key(value: str) -> str:
    if value != "create" and not value.startswith(("arn:", "${Token")):
        raise ValueError("it has to be 'create' or the ARN of a key (arn:aws:kms:…)")
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if origin != "*" and not re.fullmatch(r"https?://[^/\s*]+", origin):
            raise ValueError(f"{origin!r} is no origin; it has to be '*' or like 'https://example.com', without a path")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A list of strings; on the command line ``a,b`` or a JSON list."""
Arn = Annotated[str, AfterValidator(_arn)]


class Options(BaseModel):
    """Base of the groups: immutable, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_strings_are_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: None if value == "" else value for name, value in values.items()}


class Compute(Options):
    """How large and how many."""

    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """Instruction set. ``arm64`` (Graviton) costs 20% less a GB-second; the image is then built for ``linux/arm64``, on
    another machine by emulation (``docker run --privileged --rm tonistiigi/binfmt --install arm64`` once)."""
    memory_mb: Annotated[int, Field(ge=128, le=10240)] = 1769
    """Memory in MiB, 128 to 10240. CPU comes with it: 1769 is one vCPU, 10240 six."""
    timeout_seconds: Annotated[int, Field(ge=1, le=900)] = 60
    """Longest a request may take, in seconds, 1 to 900, with a cold start in it."""
    ephemeral_storage_mb: Annotated[int, Field(ge=512, le=10240)] = 512
    """Size of /tmp in MiB, 512 to 10240. The service writes nothing there; above 512 it costs."""
    reserved_concurrency: Annotated[int, Field(ge=0)] | None = 10
    """Most requests at a time, which also bounds what a leaked URL can cost; the rest get 429. 0 switches the service off,
    not set takes what the account has. AWS refuses a reservation that leaves less than 100 to the rest of the account
    (a new account may have 10 in all: not set is then the only choice)."""


class Image(Options):
    """Where the container image comes from: built from the artifact, unless an existing one is named."""

    base_image: str | None = None
    """Debian base with CPython to build on, in place of the Dockerfile's default."""
    pip_conf: str | None = None
    """Path of a ``pip.conf`` for the build, where packages come from an index of one's own; no part of the image."""
    ca_bundle: str | None = None
    """Path of certificates (PEM) for the build, where the network has an authority of its own; no part of the image."""
    ecr_repository: str | None = None
    """Name of an ECR repository in the same account and region with an image to deploy in place of a build."""
    ecr_image: str | None = None
    """The image in ``ecr_repository``: a digest (``sha256:…``) or a tag. With a digest what runs is what was tested; a tag
    that moves is noticed at the next change of the function only."""

    @model_validator(mode="after")
    def _both_or_none(self) -> "Image":
        if bool(self.ecr_repository) != bool(self.ecr_image):
            raise ValueError(
                "ecr_repository and ecr_image go together: the repository's name, and a digest or tag in it"
            )
        return self


class Serving(Options):
    """What the runtime is told; not set leaves its own default (``runtime/settings.py`` says which)."""

    default_prompt: str | None = None
    """Name of the prompt put before each text where a request names none, such as ``query``."""
    long_texts: Literal["error", "truncate", "window"] | None = None
    """What happens to a text over the model's limit when the request does not say."""
    window_overlap: Annotated[int, Field(ge=0)] | None = None
    """Overlap of two windows in tokens, for ``long_texts`` = ``window``."""
    max_texts_per_request: Annotated[int, Field(ge=1)] | None = None
    """Most texts in a request."""
    max_tokens_per_request: Annotated[int, Field(ge=1)] | None = None
    """Most tokens in a request, over all its texts."""
    max_body_bytes: Annotated[int, Field(ge=1, le=6 * 1024 * 1024)] | None = None
    """Largest request body in bytes; Lambda itself takes 6 MiB."""
    served_model_name: str | None = None
    """Name under which the OpenAI routes serve the model."""
    threads: Annotated[int, Field(ge=1, le=6)] | None = None
    """Threads of a computation; not set for as many as the function has CPUs."""


class Access(Options):
    """Who may call."""

    auth: Literal["iam", "api_key", "none"] = "iam"
    """``iam``: requests signed with SigV4. ``api_key``: a bearer token, checked by the function; the URL is reachable from
    the internet. ``none``: anybody, from the internet."""
    principals: Names = ()
    """Who may call besides those whose own policies in this account say so: account ids, ARNs of roles or users,
    organizations (``o-…``)."""
    api_key_secret_arn: Arn | None = None
    """Secrets Manager secret that holds the key as its whole text, for ``auth`` = ``api_key``; not set creates one."""
    api_key_refresh_seconds: Annotated[int, Field(ge=1, le=86400)] | None = None
    """How long an environment keeps the key before it reads the secret again, in seconds: a rotation takes that long."""
    cors_origins: Annotated[Names, AfterValidator(_origins)] = ()
    """Origins whose pages may call from a browser, such as ``https://example.com``; ``*`` for any. None by default."""

    @model_validator(mode="after")
    def _consistent(self) -> "Access":
        for principal in self.principals:
            if not (principal.isdigit() and len(principal) == 12) and not principal.startswith(
                ("arn:", "o-", "${Token")
            ):
                raise ValueError(
                    f"principals: {principal!r} is neither an account id of 12 digits, an ARN, nor an organization (o-…)"
                )
        if self.api_key_secret_arn and self.auth != "api_key":
            raise ValueError(f"api_key_secret_arn needs auth = api_key; auth is {self.auth}")
        return self


class Logs(Options):
    """What is written down, and for how long. Texts and keys never are."""

    log_format: Literal["JSON", "Text"] = "JSON"
    """Format of Lambda's own lines (start, report); the service's are JSON in both."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None
    """Least level of the service's lines that are written."""
    log_retention_days: Annotated[int, AfterValidator(_retention)] = 30
    """Days that logs are kept, one of those that CloudWatch Logs offers."""
    kms_key: Annotated[str, AfterValidator(_key)] | None = None
    """Key for logs, environment variables and the API key: ``create``, or the ARN of one whose policy lets CloudWatch Logs
    of this region use it. Not set uses keys that AWS owns."""
    retain: bool = False
    """Keep logs, the API key's secret and a created KMS key when the stack is destroyed."""


class Network(Options):
    """Where the function's network interface sits. Not in a VPC by default: it calls nobody but Secrets Manager."""

    vpc_id: str | None = None
    """A VPC to run in. With ``api_key`` its subnets need a way to Secrets Manager (NAT, or an interface endpoint)."""
    subnet_ids: Names = ()
    """Private subnets in ``vpc_id``, best in two availability zones."""
    security_group_ids: Names = ()
    """Security groups in ``vpc_id``; not set creates one that lets nothing in, and HTTPS out."""

    @model_validator(mode="after")
    def _complete(self) -> "Network":
        if bool(self.vpc_id) != bool(self.subnet_ids):
            raise ValueError("vpc_id and subnet_ids go together: a VPC, and the private subnets in it to run in")
        if self.security_group_ids and not self.vpc_id:
            raise ValueError("security_group_ids needs vpc_id and subnet_ids")
        return self


class ScheduledCapacity(Options):
    """From a time of day on, this many environments are kept initialized."""

    cron: Annotated[str, Field(pattern=r"^\S+( \S+){5}$")]
    """When, as six fields of Application Auto Scaling in UTC: ``0 7 ? * MON-FRI *``."""
    capacity: Annotated[int, Field(ge=0)]
    """Environments from then on."""


class Traffic(Options):
    """How a change reaches callers. Each deployment publishes a version; the URL is that of an alias which moves to it."""

    traffic_shifting: TrafficShifting = "all_at_once"
    """How the alias moves, through CodeDeploy unless ``all_at_once``; it moves back when the new version fails."""
    golden_check: bool = False
    """Ask each new version for vectors that the artifact knows, before traffic moves; a difference stops the deployment."""
    provisioned_concurrency: Annotated[int, Field(ge=0)] = 0
    """Environments kept initialized, without cold starts. Each costs by the second, idle or not."""
    provisioned_concurrency_schedule: Annotated[tuple[ScheduledCapacity, ...], BeforeValidator(parse_json)] = ()
    """Other numbers at other times, such as ``[{"cron": "0 7 ? * MON-FRI *", "capacity": 5}]``."""

    @model_validator(mode="after")
    def _something_to_schedule(self) -> "Traffic":
        if self.provisioned_concurrency_schedule and not self.provisioned_concurrency:
            raise ValueError(
                "provisioned_concurrency_schedule needs provisioned_concurrency of at least 1 to begin with"
            )
        return self


class WarmUp(Options):
    """Keeping environments warm cheaply: best effort, where provisioned concurrency is a promise."""

    warm_environments: Annotated[int, Field(ge=0, le=50)] = 0
    """Environments called regularly, at the same moment, so that as many stay alive; at most ``reserved_concurrency``."""
    warm_every_minutes: Annotated[int, Field(ge=1, le=60)] = 5
    """Minutes between two calls, 1 to 60. Lambda lets an idle environment go after some 5 to 15."""


class Monitoring(Options):
    """What is watched. Metrics and logs are always written; what is here costs by the month."""

    dashboard: bool = False
    """A CloudWatch dashboard: how many, how fast, how many cold, dollars a million tokens."""
    alarms: bool = False
    """Alarms on errors, throttles, p99 duration, memory and spend."""
    alarm_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """Address told of alarms and of the budget; AWS sends it a confirmation first."""
    alarm_topic_arn: Arn | None = None
    """SNS topic told of alarms and of the budget, in place of one of the service's own."""
    alarm_p99_ms: Annotated[int, Field(ge=1)] = 5000
    """p99 of the duration, in milliseconds, above which the alarm goes off after 15 minutes."""
    alarm_monthly_usd: Annotated[float, Field(gt=0)] = 50
    """Estimated spend on Lambda, projected from a day to a month, in US dollars, above which the alarm goes off."""
    tracing: bool = False
    """AWS X-Ray traces."""
    budget_monthly_usd: Annotated[float, Field(gt=0)] | None = None
    """An AWS budget on the whole account's Lambda bill, in US dollars a month; tells at 80% spent and 100% forecast."""

    @model_validator(mode="after")
    def _somebody_to_tell(self) -> "Monitoring":
        if self.budget_monthly_usd and not (self.alarm_email or self.alarm_topic_arn):
            raise ValueError("budget_monthly_usd needs somebody to tell: alarm_email or alarm_topic_arn")
        if self.alarm_email and self.alarm_topic_arn:
            raise ValueError("alarm_email and alarm_topic_arn exclude each other: subscribe the address to the topic")
        return self


class Deployment(Options):
    """The stack, and what the account asks of it. For ``app.py``; a construct in another app takes them from its stack."""

    stage: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] | None = None
    """Which of ``stages``' overrides apply; also ends the stack's name, so that stages live side by side."""
    stack_name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] = "ServerlessEmbeddings"
    """Name of the CloudFormation stack, without the stage."""
    tags: Annotated[dict[str, str], BeforeValidator(parse_json)] = {}
    """Tags of the stack and all its resources."""
    permissions_boundary: str | None = None
    """Managed policy that bounds every role: its name or ARN."""
    qualifier: Annotated[str, Field(pattern=r"^[a-z0-9]{1,10}$")] | None = None
    """Qualifier of the account's CDK bootstrap, where it is not the CDK's own."""
