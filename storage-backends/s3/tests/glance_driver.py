"""Writes, reads and deletes images with glance_store's own s3 driver.

glance_driver.py HOST BUCKET; the keys are in ACCESS_KEY and SECRET_KEY. Each line of the input is one operation, a JSON list:
["write", ID, FILE], ["read", ID, FILE] or ["delete", ID]; each is answered by a line: the location, or nothing.
"""

import json
import os
import sys

import glance_store
from oslo_config import cfg

host, bucket = sys.argv[1:]
conf = cfg.ConfigOpts()
glance_store.register_opts(conf)
conf([], default_config_files=[], default_config_dirs=[])
options = {
    "s3_store_host": host,
    "s3_store_access_key": os.environ["ACCESS_KEY"],
    "s3_store_secret_key": os.environ["SECRET_KEY"],
    "s3_store_bucket": bucket,
    "s3_store_bucket_url_format": "path",
    "s3_store_large_object_size": 6,
    "s3_store_large_object_chunk_size": 5,
}
conf.set_override("stores", ["s3"], group="glance_store")
conf.set_override("default_store", "s3", group="glance_store")
for name, value in options.items():
    conf.set_override(name, value, group="glance_store")
glance_store.create_stores(conf)

scheme = "s3+https" if host.startswith("https://") else "s3"
for line in sys.stdin:
    verb, image, *rest = json.loads(line)
    uri = f"{scheme}://{host.split('://')[1]}/{bucket}/{image}"
    answer = ""
    if verb == "write":
        with open(rest[0], "rb") as data:
            size = os.path.getsize(rest[0])
            answer = glance_store.add_to_backend_with_multihash(conf, image, data, size, "sha512", "s3")[0]
    elif verb == "read":
        chunks, _ = glance_store.get_from_backend(uri)
        with open(rest[0], "wb") as out:
            for chunk in chunks:
                out.write(chunk)
    else:
        glance_store.delete_from_backend(uri)
    print(answer, flush=True)
