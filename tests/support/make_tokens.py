#!/usr/bin/env python3
"""Makes keys, their JWK set and tokens as an issuer (PyJWT) and an attacker make them: one JSON object.

    make_tokens.py USER
"""
import base64
import hashlib
import hmac
import json
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

user = sys.argv[1]
now = int(time.time())
claims = {"sub": user, "iss": "https://issuer.example", "aud": ["api"], "exp": now + 3600, "nbf": now - 60, "team": "red"}
rsa_key = rsa.generate_private_key(65537, 2048)
ec_key = ec.generate_private_key(ec.SECP256R1())
secret = b"0123456789abcdef0123456789abcdef"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size):
    return b64(value.to_bytes(size, "big"))


point = ec_key.public_key().public_numbers()
public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key.public_key()))
jwks = {"keys": [{**public, "kid": "r", "alg": "RS256", "use": "sig"},
                 {"kty": "EC", "crv": "P-256", "kid": "e", "x": number(point.x, 32), "y": number(point.y, 32)},
                 {"kty": "oct", "kid": "h", "k": b64(secret)}]}


def forge(header, key):
    text = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())
    return text + "." + (b64(hmac.new(key, text.encode(), hashlib.sha256).digest()) if key is not None else "")


pem = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
good = {
    "rs256": jwt.encode(claims, rsa_key, "RS256", {"kid": "r"}),
    "es256": jwt.encode(claims, ec_key, "ES256", {"kid": "e"}),
    "hs256": jwt.encode(claims, secret, "HS256", {"kid": "h"}),
}
bad = {
    "none": jwt.encode(claims, None, "none"),
    "hs256_by_the_public_key": forge({"alg": "HS256", "kid": "r", "typ": "JWT"}, pem),
    "hs256_by_the_modulus": forge({"alg": "HS256", "kid": "r"}, base64.urlsafe_b64decode(public["n"] + "==")),
    "hs256_by_an_empty_key": forge({"alg": "HS256"}, b""),
    "rs512": jwt.encode(claims, rsa_key, "RS512", {"kid": "r"}),
    "wrong_kid": jwt.encode(claims, rsa_key, "RS256", {"kid": "h"}),
    "unknown_kid": jwt.encode(claims, secret, "HS256", {"kid": "x"}),
    "expired": jwt.encode({**claims, "exp": now - 60}, secret, "HS256", {"kid": "h"}),
    "not_yet": jwt.encode({**claims, "nbf": now + 600}, secret, "HS256", {"kid": "h"}),
    "for_ever": jwt.encode({k: v for k, v in claims.items() if k != "exp"}, secret, "HS256", {"kid": "h"}),
    "other_issuer": jwt.encode({**claims, "iss": "https://evil.example"}, secret, "HS256", {"kid": "h"}),
    "other_audience": jwt.encode({**claims, "aud": "other"}, secret, "HS256", {"kid": "h"}),
    "stranger": jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256", {"kid": "r"}),
}
json.dump({"jwks": jwks, "good": good, "bad": bad}, sys.stdout)
