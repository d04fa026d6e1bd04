"""What the build of the image needs (runtime/Dockerfile). Nothing of it is in the image."""
