"""What programs do with openstacksdk: argument 1 is a qcow2 file."""

import hashlib
import sys

import openstack
from openstack import exceptions

cloud = openstack.connect(cloud="saccade")
path = sys.argv[1]
with open(path, "rb") as file:
    content = file.read()
sha512 = hashlib.sha512(content).hexdigest()

# The cloud layer: what Ansible's os_image does.
wanted = {"filename": path, "disk_format": "qcow2", "container_format": "bare", "wait": True, "validate_checksum": True}
image = cloud.create_image("by-cloud", os_distro="debian", **wanted)
assert image.status == "active", image
assert image.hash_value == sha512, image
assert cloud.get_image("by-cloud").id == image.id
# The same file again is not uploaded again: the SDK finds its own hashes in the properties.
again = cloud.create_image("by-cloud", os_distro="debian", **wanted)
assert again.id == image.id
cloud.update_image_properties(image=image, os_distro="ubuntu")
assert cloud.get_image(image.id).os_distro == "ubuntu"

# The proxy layer.
made = cloud.image.create_image(name="by-proxy", disk_format="qcow2", container_format="bare", visibility="private")
assert made.status == "queued", made
with open(path, "rb") as file:
    made.data = file
    made.upload(cloud.image)
made = cloud.image.get_image(made)
assert (made.status, made.size, made.hash_value) == ("active", len(content), sha512), made

response = cloud.image.download_image(made, stream=True)
digest = hashlib.sha512()
for piece in response.iter_content(chunk_size=65536):
    digest.update(piece)
assert digest.hexdigest() == sha512

assert cloud.image.download_image(made).content == content

assert cloud.image.find_image("by-proxy").id == made.id
assert cloud.image.find_image("nothing") is None
changed = cloud.image.update_image(made, name="renamed", min_ram=128)
assert (changed.name, changed.min_ram) == ("renamed", 128), changed
cloud.image.add_tag(made, "one")
assert cloud.image.get_image(made).tags == ["one"]
cloud.image.remove_tag(made, "one")
assert cloud.image.get_image(made).tags == []

names = {found.name for found in cloud.image.images(limit=1)}
assert names == {"by-cloud", "renamed"}, names

cloud.image.delete_image(made)
cloud.delete_image(image.id, wait=True)
try:
    cloud.image.get_image(made.id)
    raise AssertionError("a deleted image was found")
except exceptions.NotFoundException:
    pass
assert list(cloud.image.images()) == []
print("all done")
