"""`embeddings embed`: the texts of files become vectors, through an endpoint."""


def embed() -> None:
    """Embed texts through an endpoint."""
