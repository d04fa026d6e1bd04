"""`embeddings bulk`: a corpus in S3 becomes vectors, by a job."""

import typer

app = typer.Typer(help="Embed a corpus in S3 by a job.", no_args_is_help=True)


@app.callback()
def bulk() -> None: ...
