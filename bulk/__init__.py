"""Bulk: a corpus in S3, or in a folder, becomes Parquet files of vectors. Independent of the engine that runs the steps.

``plan`` → ``embed_split`` for each split of the manifest → ``commit``. On AWS the steps are three Lambda functions
(:mod:`bulk.handlers`) of a state machine, on a desk the processes of :mod:`bulk.local`.
"""
