"""Writes, reads and deletes images with glance_store's own swift driver.

glance_driver.py KEYSTONE CONTAINER; the key is in KEY, and the reference is `ref1`, in a file. Each line of the input is one
operation, a JSON list: ["write", ID, FILE, SIZE], where SIZE is what the driver is told, 0 for unknown; ["read", URI, FILE] or
["delete", URI]. Each is answered by a line: the location, or nothing.
"""

import json
import os
import sys
import tempfile

import glance_store
from oslo_config import cfg

keystone, container = sys.argv[1:]
conf = cfg.CONF
glance_store.register_opts(conf)
conf([], default_config_files=[], default_config_dirs=[])
file = tempfile.NamedTemporaryFile("w", suffix=".conf")
file.write(f"[ref1]\nuser = test:tester\nkey = {os.environ['KEY']}\nauth_address = {keystone}\n")
file.flush()
options = {
    "swift_store_config_file": file.name,
    "default_swift_reference": "ref1",
    "swift_store_container": container,
    "swift_store_large_object_size": 2,
    "swift_store_large_object_chunk_size": 1,
}
conf.set_override("stores", ["swift"], group="glance_store")
conf.set_override("default_store", "swift", group="glance_store")
for name, value in options.items():
    conf.set_override(name, value, group="glance_store")
glance_store.create_stores(conf)

for line in sys.stdin:
    verb, what, *rest = json.loads(line)
    answer = ""
    if verb == "write":
        with open(rest[0], "rb") as data:
            answer = glance_store.add_to_backend_with_multihash(conf, what, data, rest[1], "sha512", "swift")[0]
    elif verb == "read":
        chunks, _ = glance_store.get_from_backend(what)
        with open(rest[0], "wb") as out:
            for chunk in chunks:
                out.write(chunk)
    else:
        glance_store.delete_from_backend(what)
    print(answer, flush=True)
