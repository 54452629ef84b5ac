"""Writes, reads or deletes one image with glance_store's own swift driver.

glance_driver.py write|read|delete KEYSTONE CONTAINER URI-OR-ID FILE [SIZE]; the key is in KEY. `write` prints the location;
SIZE is what the driver is told, 0 for unknown. The reference is `ref1`, in a file.
"""

import os
import sys
import tempfile

import glance_store
from oslo_config import cfg

verb, keystone, container, image, path = sys.argv[1:6]
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

if verb == "write":
    with open(path, "rb") as data:
        added = glance_store.add_to_backend_with_multihash(conf, image, data, int(sys.argv[6]), "sha512", "swift")
    print(added[0])
elif verb == "read":
    chunks, _ = glance_store.get_from_backend(image)
    with open(path, "wb") as out:
        for chunk in chunks:
            out.write(chunk)
else:
    glance_store.delete_from_backend(image)
