"""Writes, reads or deletes one image with glance_store's own s3 driver.

glance_driver.py write|read|delete HOST BUCKET ID FILE; the keys are in ACCESS_KEY and SECRET_KEY.
`write` prints the location.
"""

import os
import sys

import glance_store
from oslo_config import cfg

verb, host, bucket, image, path = sys.argv[1:]
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
uri = f"{scheme}://{host.split('://')[1]}/{bucket}/{image}"
if verb == "write":
    with open(path, "rb") as data:
        added = glance_store.add_to_backend_with_multihash(
            conf, image, data, os.path.getsize(path), "sha512", "s3"
        )
    print(added[0])
elif verb == "read":
    chunks, _ = glance_store.get_from_backend(uri)
    with open(path, "wb") as out:
        for chunk in chunks:
            out.write(chunk)
else:
    glance_store.delete_from_backend(uri)
