"""Checks requests as a Function URL with ``AWS_IAM`` does: botocore signs the same request, and the two must be equal."""

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from runtime.http.auth import Authenticator
from runtime.http.errors import HttpError
from runtime.http.messages import Request

CREDENTIALS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-token")
REGION = "eu-central-1"


class SignatureAuthenticator(Authenticator):
    """Lets in what is signed with CREDENTIALS for Lambda in REGION."""

    def check(self, request: Request, deadline: float = float("inf")) -> None:
        given = request.headers.get("authorization", "")
        names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        if "host" not in names or signature(request, names) != given.rpartition("Signature=")[2]:
            raise HttpError(403, "Forbidden", error_type="Unauthorized")


def signature(request: Request, names: list[str]) -> str:
    """The signature of ``request`` over the headers ``names``."""
    headers = {name: request.headers[name] for name in names}
    to_sign = AWSRequest(request.method, f"http://{request.headers['host']}{request.path}", headers, request.body)
    to_sign.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(*CREDENTIALS), "lambda", REGION)
    return signer.signature(signer.string_to_sign(to_sign, signer.canonical_request(to_sign)), to_sign)
