"""``headwise doctor``: versions, processor, BLAS and missing extras."""

from __future__ import annotations

import json
from dataclasses import asdict

from headwise.cli.options import Json
from headwise.installation import inspect_installation, installation_text


def doctor(as_json: Json = False) -> None:
    """Print versions, processor, BLAS, threads, and the command that installs each missing extra.

    Example: `headwise doctor`
    """
    installation = inspect_installation()
    print(json.dumps(asdict(installation)) if as_json else installation_text(installation))
