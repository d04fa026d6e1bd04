"""A CDK app with an embeddings endpoint, and a role that may call it: ``cdk deploy`` in this folder."""

from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam

from configuration.groups import Compute, ServiceOptions
from infra import EmbeddingService
from model_export.artifact import LATEST

app = App()
stack = Stack(app, "Search")
indexer = iam.Role(stack, "Indexer", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
options = ServiceOptions(compute=Compute(memory_mb=3008))
service = EmbeddingService(stack, "Embeddings", artifact=LATEST, options=options)
service.grant_invoke(indexer)
app.synth()
