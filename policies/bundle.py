"""A vetted policy as a directory that production reads with NumPy alone.

`manifest.json` says what the policy is, what it may do, why it was let out, and what it answers to golden requests;
`policy.json` is what it learned, in float64; `policy.onnx` the same as a graph for other languages; `MODEL_CARD.md`
the manifest for readers; `manifest.sig` the signature. The same request id gets the same answer from every copy.

    bundle = load("DIR", trust=Trust(keys=(key,)))
    bundle.recommend({"title_length": 40}, "short_answer", "request-1").parameters

    python -m policies.bundle verify|show|recommend|diff|bench DIR
"""

import sys

from policies.bundle_commands import main
from policies.loading import LoadedPolicy, load, publish_bundle, read_candidate, write_candidate
from policies.refusals import BundleError
from policies.signing import DIGEST_ONLY, Trust

__all__ = [
    "DIGEST_ONLY",
    "BundleError",
    "LoadedPolicy",
    "Trust",
    "load",
    "main",
    "publish_bundle",
    "read_candidate",
    "write_candidate",
]

if __name__ == "__main__":
    sys.exit(main())
