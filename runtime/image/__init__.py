"""What the build of the image needs (runtime/Dockerfile). Nothing of it is in the image."""

VARIABLES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864"}
"""Of the image's environment, those that change the time and the memory that a process takes: for processes that are measured in its
place."""
