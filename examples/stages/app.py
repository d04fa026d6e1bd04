"""A CDK app with two stages, each in its own account and region: ``cdk deploy Search-dev`` in this folder.

The image is built once, and pushed to the account of each stage.
"""

from aws_cdk import App, Environment, Stack

from configuration.groups import Compute, Logs, Monitoring, ServiceOptions, Traffic
from infra import EmbeddingService
from model_export.artifact import LATEST

STAGES = {
    "dev": (
        Environment(account="111111111111", region="eu-central-1"),
        ServiceOptions(compute=Compute(reserved_concurrency=2), logs=Logs(log_retention_days=7)),
    ),
    "prod": (
        Environment(account="222222222222", region="us-east-1"),
        ServiceOptions(
            logs=Logs(log_retention_days=90, retain=True),
            traffic=Traffic(golden_check=True, traffic_shifting="canary_10_percent_5_minutes"),
            monitoring=Monitoring(alarms=True, dashboard=True),
        ),
    ),
}

app = App()
for name, (environment, options) in STAGES.items():
    stack = Stack(app, f"Search-{name}", env=environment, termination_protection=name == "prod")
    EmbeddingService(stack, "Embeddings", artifact=LATEST, options=options)
app.synth()
