#!/usr/bin/python3
"""Checks proto/vectors/operations.json with nothing of ours but proto/quorate.binpb.

Ids and signatures must come out the same; accepted bodies must be what this library writes for them; of the
refused ones it must write something else, or not read them, or a field must break a rule that no library knows.
"""
import hashlib, json, pathlib, sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def body_class():
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString((PROTO / "quorate.binpb").read_bytes()).file:
        pool.Add(file)
    make = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
    return make(pool.FindMessageTypeByName("quorate.operations.v1.OperationBody"))


def is_canonical(body_type, body):
    try:
        parsed = body_type.FromString(body)
    except message.DecodeError:
        return False
    parsed.DiscardUnknownFields()
    return parsed.SerializeToString(deterministic=True) == body


def main():
    vectors = json.loads((PROTO / "vectors" / "operations.json").read_text())
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vectors["secret_key_seed"]))
    cluster, body_type = bytes.fromhex(vectors["cluster"]), body_class()
    for accepted in (True, False):
        for vector in vectors["accepted" if accepted else "refused"]:
            body, signature = bytes.fromhex(vector["body"]), bytes.fromhex(vector["signature"])
            identity = hashlib.sha256(b"quorate/operation-id/v1" + body).digest()
            assert identity.hex() == vector["id"], vector["name"]
            try:
                key.public_key().verify(signature, b"quorate/operation/v1" + cluster + identity)
                is_signed = True
            except InvalidSignature:
                is_signed = False
            assert is_signed or not accepted, vector["name"]
            is_form_at_fault = "canonical form" in vector.get("error", "")
            assert is_canonical(body_type, body) != is_form_at_fault, vector["name"]
    print(f"{len(vectors['accepted'])} accepted, {len(vectors['refused'])} refused: all as they should be")


if __name__ == "__main__":
    sys.exit(main())
