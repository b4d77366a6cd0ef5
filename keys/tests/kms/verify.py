"""Signs again, by AWS's own library, what the service signed: a list of requests comes in, the signatures that differ go out."""

import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

told = json.load(sys.stdin)
differ = []
for request in told["requests"]:
    headers = request["headers"]
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    again = AWSRequest(
        method=request["method"],
        url="http://" + headers["host"] + request["path"],
        headers={name: headers[name] for name in signed},
        data=request["body"].encode(),
    )
    again.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(told["id"], told["secret"], told["token"]), "kms", told["region"])
    text = auth.string_to_sign(again, auth.canonical_request(again))
    signature = auth.signature(text, again)
    if not headers["authorization"].endswith("Signature=" + signature):
        differ.append(headers["authorization"])
json.dump({"checked": len(told["requests"]), "differ": differ}, sys.stdout)
