"""Deploys an artifact: the constructs ``EmbeddingService`` and ``BulkEmbedding``, and ``ModelFunction``, which both are built on.

``app.py`` creates a stack with one service, configured by ``cdk.json``. Another CDK app uses the constructs alone::

    from configuration.groups import Access, ServiceOptions
    from infra import EmbeddingService

    options = ServiceOptions(access=Access(auth="api_key"))
    service = EmbeddingService(self, "Embeddings", artifact=Path("build/model/latest"), options=options)
    service.grant_invoke(task_role)

The modules import ``configuration``, ``runtime.engine.manifest`` and aws-cdk-lib, and so neither torch nor onnxruntime.
"""

from .bulk import BulkEmbedding
from .embedding_service import EmbeddingService
from .model_function import ModelFunction

__all__ = ["BulkEmbedding", "EmbeddingService", "ModelFunction"]
