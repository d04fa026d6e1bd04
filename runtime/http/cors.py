"""The headers of requests and answers that pages of other origins may use; the Function URL and the local server name them.

They are listed, since ``*`` does not cover ``authorization`` (Fetch standard, https://fetch.spec.whatwg.org/#cors-preflight-fetch).
"""

ALLOWED_HEADERS = (
    "authorization",
    "content-encoding",
    "content-type",
    # The npm package openai (client.mjs, internal/detect-platform.mjs).
    "openai-organization",
    "openai-project",
    "x-stainless-arch",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
    # The AI SDK and @huggingface/inference, in browsers that let a page set it.
    "user-agent",
    # Signature Version 4.
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
)
EXPOSED_HEADERS = ("retry-after", "x-request-id", "x-truncated-texts", "x-untrained-dimensions", "x-windowed-texts")
