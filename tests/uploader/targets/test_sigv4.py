"""The examples of the S3 documentation ("Signature Calculations for the Authorization Header")."""

import hashlib
from datetime import UTC, datetime

import pytest

from uploader.targets import sigv4
from uploader.targets.sigv4 import EMPTY_SHA256, Credentials

WHO = Credentials(key_id="AKIAIOSFODNN7EXAMPLE", secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region="us-east-1")
NOW = datetime(2013, 5, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "payload", "signature"),
    [
        (
            "GET",
            "/test.txt",
            (),
            {"Range": "bytes=0-9"},
            EMPTY_SHA256,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            (),
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            (("lifecycle", ""),),
            {},
            EMPTY_SHA256,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            (("prefix", "J"), ("max-keys", "2")),
            {},
            EMPTY_SHA256,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_documented_examples(method, path, query, headers, payload, signature):
    signed = sigv4.signed(WHO, method, "examplebucket.s3.amazonaws.com", path, query, headers, payload, NOW)
    assert signed["authorization"].endswith(f"Signature={signature}")


def test_paths_and_queries_are_encoded_once():
    assert sigv4.canonical_path("/録音 box/a+b~c.zip") == "/%E9%8C%B2%E9%9F%B3%20box/a%2Bb~c.zip"
    assert sigv4.canonical_query((("b", "1 2"), ("a", "/"))) == "a=%2F&b=1%202"
