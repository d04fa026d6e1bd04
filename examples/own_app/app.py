"""A CDK app of one's own with an embeddings endpoint in it, and a role that may call it: ``cdk deploy`` in this folder."""

from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam

from infra import Compute, EmbeddingService
from model_export.artifact import LATEST

app = App()
stack = Stack(app, "Search")
indexer = iam.Role(stack, "Indexer", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
service = EmbeddingService(stack, "Embeddings", artifact=LATEST, compute=Compute(memory_mb=3008))
service.grant_invoke(indexer)
app.synth()
