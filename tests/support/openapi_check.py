#!/usr/bin/env python3
"""Holds answers against an OpenAPI 3.1 document: openapi_check.py DOCUMENT < ANSWERS

ANSWERS is a JSON array of {path, method, status, headers, body}; `path` is that of the document. Every path, method and
status of the document must be among the answers and every answer in the document; headers and bodies must be as their
schemas say (JSON Schema 2020-12), and no body is there where none is described. What is wrong is printed; exit code 1.
"""
import json
import sys

import jsonschema

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def main():
    with open(sys.argv[1]) as file:
        document = json.load(file)
    faults = []
    resolver = jsonschema.RefResolver("", document)

    def resolved(node):
        while "$ref" in node:
            node = resolver.resolve(node["$ref"])[1]
        return node

    def check(schema, value, what):
        for error in jsonschema.Draft202012Validator(schema, resolver=resolver).iter_errors(value):
            faults.append(f"{what}: {error.json_path}: {error.message}")

    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
    described = {(path, method, status) for path, item in document["paths"].items()
                 for method, operation in item.items() if method in METHODS for status in operation["responses"]}
    seen = set()
    for answer in json.load(sys.stdin):
        key = (answer["path"], answer["method"].lower(), str(answer["status"]))
        what = " ".join(key)
        seen.add(key)
        if key not in described:
            faults.append(f"{what}: answered, and not in the document")
            continue
        response = resolved(document["paths"][key[0]][key[1]]["responses"][key[2]])
        headers = {name.lower(): value for name, value in answer["headers"].items()}
        for name, header in response.get("headers", {}).items():
            header = resolved(header)
            if name.lower() in headers:
                check(header["schema"], headers[name.lower()], f"{what} {name}")
            elif header.get("required"):
                faults.append(f"{what}: the field {name} is missing")
        content = response.get("content")
        if content is None:
            if answer["body"]:
                faults.append(f"{what}: a body that is not described")
            continue
        media = content.get(headers.get("content-type"))
        if media is None:
            faults.append(f"{what}: the type {headers.get('content-type')} is not described")
            continue
        check(media["schema"], json.loads(answer["body"]), what)
        if key[2] == "200" and key[0] == "/openapi.json" and json.loads(answer["body"]) != document:
            faults.append(f"{what}: another document")
    for path, method, status in sorted(described - seen):
        faults.append(f"{path} {method} {status}: in the document, and not answered by any request of the test")
    print("\n".join(faults))
    return 1 if faults else 0


sys.exit(main())
