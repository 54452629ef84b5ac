"""Says in Keystone's catalogue where Swift is: swift-catalogue.py KEYSTONE SWIFT. What was said before is forgotten."""

import json
import sys
import urllib.request

keystone, swift = sys.argv[1:]
headers = {"Content-Type": "application/json"}


def call(method, path, body=None):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(keystone + path, method=method, data=data, headers=headers)
    return urllib.request.urlopen(request)


domain = {"id": "default"}
user = {"name": "admin", "domain": domain, "password": "admin-password"}
answer = call("POST", "/auth/tokens", {"auth": {
    "identity": {"methods": ["password"], "password": {"user": user}},
    "scope": {"project": {"name": "admin", "domain": domain}}}})
headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
for service in json.load(call("GET", "/services?type=object-store"))["services"]:
    call("DELETE", f"/services/{service['id']}")
service = json.load(call("POST", "/services", {"service": {"type": "object-store", "name": "swift"}}))["service"]
for interface in ("public", "internal"):
    call("POST", "/endpoints", {"endpoint": {
        "service_id": service["id"], "interface": interface, "url": swift, "region_id": "RegionOne"}})
