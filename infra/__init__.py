"""Deploys an artifact: the construct ``EmbeddingService`` and what it is made of.

``app.py`` puts one into a stack of its own, configured by ``cdk.json``; another CDK app uses the construct alone::

    from infra import Access, EmbeddingService

    service = EmbeddingService(self, "Embeddings", artifact=Path("build/model/latest"), access=Access(auth="api_key"))
    service.grant_invoke(task_role)

Nothing here imports torch, nor anything of ``runtime`` but the schema of the manifest.
"""

from configuration.options import Access, Compute, Image, Logs, Monitoring, Network, Serving, Traffic, WarmUp

from .embedding_service import EmbeddingService

__all__ = [
    "Access",
    "Compute",
    "EmbeddingService",
    "Image",
    "Logs",
    "Monitoring",
    "Network",
    "Serving",
    "Traffic",
    "WarmUp",
]
