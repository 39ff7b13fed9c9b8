"""Check a crate with roc-validator (Provenance Run Crate 0.5, required level), without internet.

Runs in an environment of its own, with roc-validator and rocrate. The validator fetches JSON-LD contexts; here they are
answered from what is on the machine: RO-Crate's from the rocrate package (its newest context, set back to 1.1 where they
differ), and the workflow-run terms from the short list below, written from their specification
(https://w3id.org/ro/terms/workflow-run). No other
request leaves the machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests
from rocrate.vocabs import RO_CRATE
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.utils import document_loader

_WFRUN = "https://w3id.org/ro/terms/workflow-run#"
_TERMS = (
    "ParameterConnection", "ContainerImage", "DockerImage", "SIFImage", "environment", "containerImage", "registry", "tag",
    "resourceUsage", "sourceParameter", "targetParameter", "connection",
)  # fmt: skip
_OF_1_1 = {  # where 1.1 differs from the newest context
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}
_ANSWERS = {
    "https://w3id.org/ro/crate/1.1/context": {"@context": RO_CRATE["@context"] | _OF_1_1},
    "https://w3id.org/ro/terms/workflow-run/context": {"@context": {term: _WFRUN + term for term in _TERMS}},
}


def answer(_: requests.Session, request: requests.PreparedRequest, **__: object) -> requests.Response:
    """Answer a request for a context that is known here; no other leaves the machine."""
    address = str(request.url)
    if address not in _ANSWERS:
        raise requests.ConnectionError(f"{address}: no request leaves this machine")
    print("answered from this machine:", address)
    response = requests.Response()
    response.status_code, response.url, response.request = 200, address, request
    response.headers["Content-Type"] = "application/ld+json"
    response._content = json.dumps(_ANSWERS[address]).encode()
    return response


def validate(folder: Path) -> list[str]:
    """Return what the validator finds wrong."""
    requests.Session.send = answer
    document_loader._fetch_json_ld = _ANSWERS.__getitem__
    settings = ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="provenance-run-crate-0.5",
        requirement_severity=Severity.REQUIRED,
        no_cache=True,
    )
    result = services.validate(settings)
    return [f"{issue.severity.name}: {issue.check.identifier}: {issue.message}" for issue in result.get_issues()]


if __name__ == "__main__":
    problems = validate(Path(sys.argv[1]).resolve())
    print("\n".join(problems) or f"{sys.argv[1]}: conforms to Provenance Run Crate 0.5")
    sys.exit(bool(problems))
