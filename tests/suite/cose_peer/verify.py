"""Verifies COSE_Sign1 messages of the node with pycose: cases on stdin, one verdict each on stdout, as JSON."""

import json
import sys

import cbor2
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import Sign1Message


def verdict(case):
    """Whether the message is what the key signed for this context; with what was read of it."""
    key = OKPKey(crv=Ed25519, x=bytes.fromhex(case["key"]))
    message = bytes.fromhex(case["message"])
    try:
        # The node's messages carry no tag, so the structure is handed over, not the bytes.
        signed = Sign1Message.from_cose_obj(list(cbor2.loads(message)), allow_unknown_attributes=False)
        signed.key = key
        signed.external_aad = cbor2.dumps(cbor2.loads(bytes.fromhex(case["aad"])))
        return {"ok": bool(signed.verify_signature()), "payload": signed.payload.hex(), "algorithm": str(signed.phdr)}
    except Exception as error:  # Whatever it stumbles over is a refusal.
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


json.dump([verdict(case) for case in json.load(sys.stdin)], sys.stdout)
