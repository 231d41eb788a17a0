#!/usr/bin/python3
"""Signs a document and submits it to a Quorate cluster over TLS; prints the receipt as JSON.

    submit.py GENESIS AUTHORITY HOST:PORT KEY KIND ID TEXT

KEY is a key file as `quorate keygen` makes. Needs nothing of ours but proto/quorate.binpb:
Debian's python3-grpcio, python3-protobuf and python3-cryptography are enough.
"""
import hashlib, json, pathlib, sys, time

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

PACKAGE = "quorate.operations.v1."
DESCRIPTORS = pathlib.Path(__file__).resolve().parents[2] / "proto" / "quorate.binpb"


def message_classes():
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    make = getattr(message_factory, "GetMessageClass", None) or factory.GetPrototype
    return lambda name: make(pool.FindMessageTypeByName(PACKAGE + name))


def main(genesis, authority, address, key_file, kind, entity, text):
    message = message_classes()
    cluster = hashlib.sha256(pathlib.Path(genesis).read_bytes()).digest()
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(pathlib.Path(key_file).read_text()))
    author = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(pathlib.Path(authority).read_bytes()))

    def call(method, request, answer):
        path = f"/{PACKAGE}Operations/{method}"
        return channel.unary_unary(path, type(request).SerializeToString, message(answer).FromString)(request, timeout=30)

    nonces = call("GetAuthor", message("GetAuthorRequest")(author=author), "GetAuthorResponse")
    now = time.time_ns() // 1_000_000
    body = message("OperationBody")(cluster=cluster, author=author, nonce=nonces.highest + 1, timestamp_ms=now)
    body.expires_at = now + 60_000
    put = body.mutations.add(kind=kind, id=entity).put
    put.value.text = text
    body = body.SerializeToString(deterministic=True)

    identity = hashlib.sha256(b"quorate/operation-id/v1" + body).digest()
    signature = key.sign(b"quorate/operation/v1" + cluster + identity)
    operation = message("SignedOperation")(body=body, signature=signature)
    answer = call("Submit", message("SubmitRequest")(operation=operation), "SubmitResponse")
    assert answer.operation == identity, "the cluster computed another id for these bytes"
    print(json.dumps(json_format.MessageToDict(answer.receipt.receipt), indent=2))
    return 0 if answer.receipt.receipt.WhichOneof("outcome") == "applied" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:8]) if len(sys.argv) == 8 else __doc__)
