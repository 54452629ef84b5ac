#!/usr/bin/env python3
"""Make the seeds of fuzz/corpus: images with qemu-img (package qemu-utils), all else from what is written here.

A seed is named `seed-*` and stands in git; what fuzzing adds has other names and does not. Every target's own file says how
it reads its input; what is laid out here follows that.
"""
import base64
import bz2
import gzip
import hashlib
import hmac
import io
import json
import lzma
import pathlib
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
# What LHa for UNIX has made: nothing that packs so is at hand everywhere.
LHA = pathlib.Path(__file__).resolve().parents[1] / "conversion/src/decompress/archives"
KIB = 1024


def seed(target, name, data):
    if isinstance(data, str):
        data = data.encode()
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"seed-{name}").write_bytes(data)


def patched(data, offset, value):
    return data[:offset] + value + data[offset + len(value):]


def create(work, name, *options):
    subprocess.run(["qemu-img", "create", "-q", *options[:-1], name, options[-1]], cwd=work, check=True)
    return (work / name).read_bytes()


def image(target, name, data):
    """A seed of a format, and of the whole inspector, which takes 16 bytes first that choose the chunks."""
    seed(target, name, data)
    seed("inspect", f"{target}-{name}", b"0123456789abcdef" + data[:2048])


def qcow2(work):
    v2 = create(work, "v2", "-f", "qcow2", "-o", "compat=0.10", "1M")[:KIB]
    v3 = create(work, "v3", "-f", "qcow2", "-o", "compat=1.1", "1M")[:KIB]
    image("qcow2", "v2", v2)
    image("qcow2", "v3", v3)
    image("qcow2", "backing", create(work, "backing", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", "1M")[:KIB])
    image("qcow2", "data", create(work, "data", "-f", "qcow2", "-o", "data_file=x.raw", "1M")[:KIB])
    image("qcow2", "l2", create(work, "l2", "-f", "qcow2", "-o", "extended_l2=on", "1M")[:KIB])
    image("qcow2", "v1", create(work, "v1", "-f", "qcow", "1M")[:KIB])
    # Hostile: short, with a backing file; a data file's name though its bit is clear; extensions that do not end.
    short = patched(v3[:104], 8, struct.pack(">QI", 104, 11)) + b"/etc/passwd"
    image("qcow2", "short", short)
    image("qcow2", "named", v3[:104] + struct.pack(">II", 0x44415441, 11) + b"/etc/passwd\0" * 2)
    image("qcow2", "endless", v3[:104] + struct.pack(">II", 0xE2792ACA, 0xFFFFFFF8))
    json_name = b'json:{"file.filename":"/etc/shadow"}'
    # Large clusters, of which the extensions may fill more than is kept.
    far = patched(patched(v3[:104], 20, struct.pack(">I", 21)), 100, struct.pack(">I", 104)) + struct.pack(">II", 0x12345678, 0x10000)
    image("qcow2", "far", far)
    image("qcow2", "json", patched(v3[:104], 8, struct.pack(">QI", 104, len(json_name))) + json_name)


def vmdk(work):
    sparse = b""
    for kind in ["monolithicSparse", "streamOptimized", "monolithicFlat", "twoGbMaxExtentSparse"]:
        data = create(work, f"{kind}.vmdk", "-f", "vmdk", "-o", f"subformat={kind}", "1M")[: 12 * KIB]
        image("vmdk", kind, data.rstrip(b"\0") + b"\0")
        sparse = sparse or data
    child = create(work, "child.vmdk", "-f", "vmdk", "-b", "monolithicSparse.vmdk", "-F", "vmdk", "1M")
    image("vmdk", "parent", child[: 12 * KIB].rstrip(b"\0"))
    # A footer of its own: a grain directory at the end, marker, footer, end of the stream.
    header = patched(sparse[:512], 56, b"\xff" * 8)
    marker = lambda kind: struct.pack("<QII", 0, 0, kind).ljust(512, b"\0")
    footer = patched(sparse[:512], 12, struct.pack("<Q", 1 << 17))
    image("vmdk", "footer", header + sparse[512:2048] + marker(3) + footer + marker(0))
    # Descriptors of two sectors are whole in a short input.
    short = patched(sparse[:512], 36, struct.pack("<Q", 2)) + sparse[512:1536]
    image("vmdk", "two-sectors", short)
    tables = patched(short, 56, b"\xff" * 8)
    image("vmdk", "two-sectors-footer", tables + marker(3) + short[:512] + marker(0))
    image("vmdk", "footer-again", tables + marker(3) + tables[:512] + marker(0))
    image("vmdk", "capacity-0", patched(sparse[:2048], 12, b"\0" * 8))
    image("vmdk", "cowd", b"COWD" + sparse[4:2048])
    image("vmdk", "text", b"# Disk DescriptorFile\nversion=1\nCREATETYPE=\"monolithicSparse\"\ncreateType=\"monolithicFlat\"\n"
          b"RW 2048 FLAT \"/etc/passwd\" 0\nchangeTrackPath=\"x\"\nparentFileNameHint=\"/etc/passwd\"\n")


def others(work):
    vhd = create(work, "vpc", "-f", "vpc", "1M")[:1536]
    image("vhd", "dynamic", vhd + vhd[:512])
    image("vhd", "differencing", patched(vhd, 60, struct.pack(">I", 4)) + vhd[:512])
    fixed = create(work, "fixed", "-f", "vpc", "-o", "subformat=fixed", "1M")
    image("vhd", "fixed", b"data" * 128 + fixed[-512:])
    # A checksum that the target puts right, whatever else is changed.
    sealed = patched(vhd, 64, b"sum!")
    seed("vhd", "sealed", sealed + sealed[:512])
    seed("vhd", "sealed-fixed", b"data" * 128 + patched(patched(fixed[-512:], 64, b"sum!"), 48, struct.pack(">Q", 512)))
    # Its header lies where nothing is kept unasked.
    seed("vhd", "far", patched(sealed, 16, struct.pack(">Q", 100 * KIB)) + patched(sealed[:512], 16, struct.pack(">Q", 100 * KIB)))
    located = patched(sealed, 512 + 64, "parent.vhd".encode("utf-16-be"))
    seed("vhd", "sealed-parent", patched(located, 60, struct.pack(">I", 4)) + patched(sealed[:512], 60, struct.pack(">I", 4)))
    vdi = create(work, "vdi", "-f", "vdi", "1M")[:KIB]
    image("vdi", "dynamic", vdi)
    image("vdi", "parent", patched(vdi, 0x1B8, b"\xab" * 16))
    image("vdi", "differencing", patched(vdi, 0x4C, struct.pack("<I", 4)))
    qed = create(work, "qed", "-f", "qed", "1M")[:256]
    image("qed", "plain", qed)
    image("qed", "backing", patched(qed, 16, struct.pack("<Q", 1))[:56] + struct.pack("<II", 64, 11) + b"/etc/passwd")
    image("ploop", "v2", create(work, "parallels", "-f", "parallels", "1M")[:128])
    in_use = b"WithouFreSpacExt" + struct.pack("<IIIIIQI", 2, 16, 100, 63, 10, 2048, 0x746F6E59)
    image("ploop", "in-use", in_use.ljust(64, b"\0"))
    image("ploop", "v1", b"WithoutFreeSpace" + struct.pack("<IIIIII", 2, 16, 100, 63, 10, 2048).ljust(48, b"\0"))
    luks = create(work, "luks", "-f", "luks", "--object", "secret,id=s,data=s", "-o", "key-secret=s,iter-time=10", "1M")
    image("luks", "v1", luks[:640])
    image("luks", "v2", patched(luks[:640], 6, b"\0\x02"))
    vhdx(work)
    iso()
    gpt()


def vhdx(work):
    data = create(work, "vhdx", "-f", "vhdx", "1M")
    metadata_guid = bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e")
    parts = [data[:16], data[64 * KIB :][:80], data[128 * KIB :][:80]]
    at = None
    for offset in [192 * KIB, 256 * KIB]:
        table = data[offset : offset + 112]
        entry = table.index(metadata_guid)
        at = struct.unpack_from("<Q", table, entry + 16)[0]
        # Where the target lays it out.
        parts.append(patched(table, entry + 16, struct.pack("<Q", 320 * KIB)))
    parts += [data[at : at + 256], data[at + 64 * KIB :][:64]]
    seed("vhdx", "dynamic", b"".join(parts))
    differencing = parts[6][:4] + b"\2" + parts[6][5:]
    seed("vhdx", "differencing", b"".join(parts[:6]) + differencing)
    seed("vhdx", "dirty", b"".join([parts[0], patched(parts[1], 48, b"\1" * 16), patched(parts[2], 48, b"\1" * 16), *parts[3:]]))
    locator = bytes.fromhex("2d5fd3a80bb34d45abf7d3d84834ab0c")
    seed("vhdx", "parent", b"".join(parts[:5]) + patched(parts[5], 32, locator) + parts[6])
    # Checksums that the target puts right, and a parent with a name.
    sealed = [parts[0], *(patched(part, 4, b"sum!") for part in parts[1:5]), *parts[5:]]
    seed("vhdx", "sealed", b"".join(sealed))
    page_83 = sealed[5].index(bytes.fromhex("ab12cabee6b2234593efc309e000c746"))
    key, value = "relative_path".encode("utf-16-le"), "..\\a.vhdx".encode("utf-16-le")
    named = bytes(18) + struct.pack("<HIIHH", 1, 32, 32 + len(key), len(key), len(value)) + key + value
    twice = patched(sealed[3], 48, sealed[3][16:32])
    seed("vhdx", "sealed-twice", b"".join(sealed[:3]) + twice * 2 + b"".join(sealed[5:]))
    item = locator + struct.pack("<IIII", 64 * KIB + 64, len(named), 4, 0)
    seed("vhdx", "sealed-parent", b"".join(sealed[:5]) + patched(sealed[5], page_83, item) + sealed[6] + named)
    seed("inspect", "vhdx-header", b"0123456789abcdef" + data[:512])


def iso():
    def descriptor(kind, mark):
        data = bytes([kind]) + mark + b"\1"
        return data.ljust(2048, b"\0")
    primary = patched(patched(descriptor(1, b"CD001"), 80, struct.pack("<I", 200)), 128, struct.pack("<H", 2048))
    primary = patched(primary, 40, b"LABEL".ljust(32))
    boot = patched(descriptor(0, b"CD001"), 7, b"EL TORITO SPECIFICATION")
    whole = primary.ljust(2048, b"\0")
    end = descriptor(255, b"CD001")
    seed("iso", "whole", bytes(512) + boot + whole + end)
    seed("iso", "boot-behind", bytes(512) + whole + boot + end)
    seed("iso", "no-primary", bytes(512) + descriptor(2, b"CD001") + end + bytes(2048))
    seed("iso", "extended", bytes(512) + descriptor(0, b"BEA01") + descriptor(0, b"BOOT2") + descriptor(0, b"NSR02"))
    seed("iso", "extended-not", bytes(512) + descriptor(0, b"BEA01") + descriptor(0, b"TEA01") + bytes(2048))
    system = bytes(510) + b"\x55\xaa"
    seed("iso", "primary", bytes(512) + primary[:200])
    seed("iso", "bootable", bytes(512) + boot + primary[:200])
    seed("iso", "hybrid", patched(system, 446, b"\x80\0\1\0\xcd\1\1\1" + struct.pack("<II", 0, 100)) + primary[:200])
    seed("iso", "udf", bytes(512) + descriptor(0, b"BEA01") + descriptor(0, b"NSR03")[:64])
    seed("iso", "udf-first", bytes(512) + descriptor(0, b"NSR02")[:64])


def gpt():
    boot = bytes(510) + b"\x55\xaa"
    protective = patched(boot, 446, b"\0\0\2\0\xee\xff\xff\xff" + struct.pack("<II", 1, 0xFFFFFFFF))
    header = b"EFI PART" + struct.pack("<IIIIQQQQ", 0x10000, 92, 0, 0, 1, 2047, 34, 2014) + bytes(16)
    header += struct.pack("<QIII", 2, 4, 128, 0)
    entry = bytes.fromhex("af3dc60f838472478e793d69d8477de4") + bytes(16) + struct.pack("<QQQ", 34, 2014, 0)
    entry += "Linux".encode("utf-16-le").ljust(72, b"\0")
    image("gpt", "protective", protective + header.ljust(512, b"\0") + entry + bytes(384))
    image("gpt", "mbr", patched(boot, 446, b"\x80\0\1\0\x83\1\1\1" + struct.pack("<II", 63, 100)))
    image("gpt", "hybrid", patched(protective, 462, b"\0\0\1\0\x83\1\1\1" + struct.pack("<II", 63, 100)))
    image("gpt", "empty", boot)
    fat = patched(patched(boot, 16, b"\2"), 21, b"\xf8")
    image("gpt", "fat", fat)
    for name, start in [("gzip", b"\x1f\x8b\x08"), ("xz", b"\xfd7zXZ\0"), ("zstd", b"\x28\xb5\x2f\xfd"), ("zip", b"PK\3\4")]:
        seed("inspect", f"raw-{name}", b"0123456789abcdef" + start + bytes(64))


def ova(work):
    ovf = b'<Envelope><References><File ovf:href="disk.vmdk" ovf:id="file1"/></References></Envelope>'
    evil = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><File ovf:href="../../etc/passwd"/>'
    sparse = (work / "monolithicSparse.vmdk").read_bytes()[:1536]
    backing = (work / "backing").read_bytes()[:512]

    def archive(members, form, **attributes):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as tar:
            for name, data in members:
                info = tarfile.TarInfo(name)
                for key, value in attributes.items():
                    setattr(info, key, value)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return file.getvalue().rstrip(b"\0") + bytes(1536)

    plain, pax, gnu = tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT
    # The first byte: whether the target puts checksums right.
    for name, data in {
        "plain": archive([("a.ovf", ovf), ("disk.vmdk", sparse)], plain),
        "backed": archive([("a.ovf", ovf), ("disk.vmdk", backing)], plain),
        "evil": archive([("a.ovf", evil)], plain),
        "path": archive([("../../a", b"x")], plain),
        "gnu": archive([("n" * 120 + ".ovf", ovf)], gnu),
        "pax": archive([("n" * 120 + ".ovf", ovf)], pax, pax_headers={"path": "../x", "size": "7"}),
        "defaults": archive([("a", b"11 size=7\n\n")], plain, type=tarfile.XGLTYPE),
        "link": archive([("a", b"")], plain, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "device": archive([("a", b"")], plain, type=tarfile.BLKTYPE, devmajor=8),
        "directory": archive([("d", b"")], plain, type=tarfile.DIRTYPE),
        "huge": patched(archive([("disk.vmdk", b"x")], plain), 124, b"\x80" + bytes(3) + b"\xff" * 8),
    }.items():
        seed("ova", name, b"\1" + data)


def http():
    documents = {
        "ten": [{"op": "add", "path": "/name", "value": "a"}, {"op": "replace", "path": "/min_disk", "value": 1},
                {"op": "remove", "path": "/a~1b~0c"}, {"op": "add", "path": "/locations/-", "value": {"url": "x"}}],
        "tags": [{"op": "replace", "path": "/tags", "value": ["a", "b"]}],
        "forbidden": [{"op": "replace", "path": "/status", "value": "active"}],
        "locations": [{"op": "replace", "path": "/locations", "value": [{"url": "http://h/", "metadata": {}}]},
                      {"op": "replace", "path": "/locations", "value": []}],
        "adjacent": [{"op": "remove", "path": "/a//b"}],
        "deep": [{"op": "add", "path": "/a/b/c", "value": None}],
        "visibility": [{"op": "replace", "path": "/visibility", "value": "public"}],
    }
    for name, document in documents.items():
        seed("json_patch", name, b"\1" + json.dumps(document).encode())
    four = [{"add": "/a", "value": "x"}, {"replace": "/protected", "value": True}, {"remove": "/b"}]
    seed("json_patch", "four", b"\0" + json.dumps(four).encode())

    # bool, an optional size (its own bool and 8 bytes), the value.
    for number, (proper, value) in enumerate([
        (1, "bytes=0-9"), (1, "bytes=5-"), (1, "bytes=-7"), (1, "Bytes = 1 - 2"), (1, "bytes=0-1,3-4"), (1, "bytes=-0"),
        (1, "bytes=0-99999999999999999999999"), (0, "bytes 1-4/*"), (0, "bytes 1-4/100"), (0, "bytes */100"),
    ]):
        seed("range", number, bytes([proper, 1]) + struct.pack("<Q", 100) + value.encode())

    for number, value in enumerate([
        "limit=20&marker=x&sort=name:asc,size:desc", "sort_key=name&sort_dir=asc&sort_key=id", "visibility=all&os_hidden=true",
        "name=in:a,%22b,c%22&status=in:active", "created_at=gte:2026-01-01T00:00:00Z&updated_at=lt:2026-01-01T00:00:00+02:00",
        "size_min=1&size_max=99999999999999999999&min_ram=5", "tag=a+b&tag=%C3%A9%2F&owner=o&checksum=c", "a=%ff", "&&=&a",
        "member_status=pending&protected=false&deleted_at=x&id=eq:A", "created_at=2026-01-01T00:00:00Z",
    ]):
        seed("query", number, value)

    user = {"id": "u", "password": "S3cr3t"}
    password = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    seed("login", "password", json.dumps(password))
    named = {"name": "n", "domain": {"id": "default"}, "password": "S3cr3t"}
    scope = {"project": {"name": "p", "domain": {"name": "Default"}}}
    seed("login", "named", json.dumps(
        {"auth": {"identity": {"methods": ["password"], "password": {"user": named}}, "scope": scope}}))
    seed("login", "token", json.dumps(
        {"auth": {"identity": {"methods": ["token"], "token": {"id": "S3cr3t"}}, "scope": "unscoped"}}))
    for name, scope in {"unscoped": {"unscoped": {}}, "domain": {"domain": {"id": "d"}}, "system": {"system": {"all": True}},
                        "empty": {}, "two": {"project": {"id": "p"}, "domain": {"id": "d"}}, "word": "unscoped"}.items():
        methods = ["token"] if name != "two" else []
        seed("login", f"scope-{name}", json.dumps(
            {"auth": {"identity": {"methods": methods, "token": {"id": "S3cr3t"}}, "scope": scope}}))
    seed("login", "no-method", json.dumps({"auth": {"identity": {"methods": []}}}))
    seed("login", "broken", json.dumps(password)[:-9])


def policy():
    rules = [
        "", "@", "!", "role:admin", "(role:admin and project_id:%(owner)s) or rule:self", "not (@ and !) or not not @",
        "'public':%(visibility)s", "True:%(protected)s", "target.user_id:None", "is_admin:True and size:7",
        "role:%(a)s%%%(b(c))s", "http://example.org", "\"quoted\"", "(((@)))", "many:7 or many:None", "None:%(x)s", "-1:a",
        "rule:self and rule:missing",
    ]
    for number, rule in enumerate(rules):
        seed("policy_rule", number, rule)
    files = {
        "yaml": "# comment\n\"get_image\": \"role:reader or rule:default\"\nadd_image: '@'\ndefault: \"\"\n",
        "json": json.dumps({"default": "", "get_images": "role:member", "modify_image": "rule:a and not rule:b"}),
        "lists": "a: [[\"role:admin\", \"project_id:%(owner)s\"], [\"@\"]]\nb: []\nc: [[]]\nd: [\"@\"]\n",
        "aliases": "a: &x [\"@\", \"@\"]\nb: &y [*x, *x]\nc: [*y, *y, *y]\n",
        "block": "a: >\n  role:admin\n  or rule:b\nb: |\n  @\n",
        "odd": "a: !\nb: 7\nc: {}\nd: null\na: \"@\"\n? [x]\n: y\n",
        "references": "a: rule:b and rule:a\nb: rule:c or rule:missing\nc: not rule:b\ndefault: rule:other\n",
        "levels": "".join(f"{level}: rule:{level + 1}\n" for level in range(40)),
        "documents": "---\na: '@'\n...\n---\nb: '!'\n",
    }
    for name, text in files.items():
        seed("policy_file", name, text)


def configuration():
    files = {
        "plain": "[DEFAULT]\nbind_port = 9292\ntransport_url = rabbit://u:p@h/\n[database]\nconnection=mysql://u:p@h/glance\n",
        "references": "[DEFAULT]\ndebug = $use_syslog\nlog_dir = ${log_file}/$x$$y\\$z\nlog_file = $log_dir\n",
        "leak": "[DEFAULT]\nlog_file = $keystone_authtoken.password\nlog_dir = a$log_file\n"
                "[keystone_authtoken]\nusername = ${keystone_authtoken.password}\n",
        "continued": "[DEFAULT]\na =\n  one\n\ttwo\n# c\n  x\n[x]\nb: 'q'\nc: \"\n",
        "wrong": "a = 1\r\n[x\r\n[]\r\nword\r\n[g] # c\r= 1\rb = 2\n",
        "store": "[DEFAULT]\nenabled_backends = fast:file\n[fast]\nfilesystem_store_datadir = /x\n[glance_store]\ndefault_backend=fast\n",
    }
    for name, text in files.items():
        seed("ini", name, text)
    seed("paste", "glance", "[pipeline:glance-api-keystone]\npipeline = cors http_proxy_to_wsgi authtoken context rootapp\n"
         "[composite:rootapp]\npaste.composite_factory = glance.api:root_app_factory\n/: apiversions\n/v2: apiv2app\n"
         "[filter:context]\npaste.filter_factory = x:y\n[DEFAULT]\na = b\n   c\n# comment\n")
    seed("paste", "twice", "[a]\nx=1\nx=2\n[a]\n")


def outgoing():
    for number, text in enumerate([
        "http://example.org/a?b#c", "HTTPS://us%3Aer:pa%40ss:word@Example.ORG:443/a/b?signature=s3cret", "http://127.0.0.1/",
        "http://2130706433/", "http://0x7f.1/", "http://[::1]:80/", "http://[::ffff:127.0.0.1]/", "http://[fe80::1]/",
        "http://169.254.169.254/latest", "http://h:65536/", "http://h\\@evil/", "http://b\u00fccher.example/", "file:///etc/passwd",
        "http://a@b@c/", "http://[64:ff9b::7f00:1]/", "http://localhost./", "http://0/", "http://h:/x",
    ]):
        seed("url", number, text)
    for number, text in enumerate([
        "bytes 0-9/10", " Bytes 5-5/* ", "bytes */0", "bytes 0-18446744073709551614/18446744073709551615", "120",
        "Fri, 31 Dec 2027 23:59:59 GMT", "Friday, 31-Dec-27 23:59:59 GMT", "Fri Dec 31 23:59:59 2027", "\"etag\"", "W/\"x\"",
    ]):
        seed("response_headers", number, text)
    for number, (url, location) in enumerate([
        ("http://u:pass@h/a/b?c", "../d"), ("https://u:pass@h:8/a", "//h:8/x"), ("http://u:pass@h/", "https://h/"),
        ("http://h/a", "?q#f"), ("http://u:pass@h/", "http://v:word@i/"), ("http://[::1]/", "http:/x"), ("http://h/", "ftp://h/"),
    ]):
        seed("url", f"redirect-{number}", f"{url}\n{location}")
    uuid = "3f1a0a5e-9d0e-4c6d-8f4b-0d4b6a2e7c11"
    for number, text in enumerate([
        f"file:///var/lib/glance/images/{uuid}", f"filesystem:///var/lib/glance/images/{uuid}",
        f"file:///var/lib//glance/./images/{uuid}", "file:///var/lib/glance/images/../images/x", "file:///etc/passwd",
        f"file:///var/lib/glance/images/.saccade.{uuid}", f"file:1:{uuid}:{uuid}", "swift+https://u:p@h/c/o",
        "file:///var/lib/glance/images/a?b#c", "file://host/var/lib/glance/images/x",
    ]):
        seed("location", number, text)
    for number, text in enumerate([
        f"swift+config://ref1/glance/{uuid}", f"swift+https://service:glance:sesame@keystone/v3/glance_3f/{uuid}",
        f"swift://service%3Aglance:sesame@KEYSTONE:443/v2.0/glance/{uuid}", f"swift+http://keystone:80/v3/glance/{uuid}",
        f"swift+https://service:another:x@keystone/glance/{uuid}", f"swift+config://ref1/glance/{uuid}.{uuid}-00001",
        f"swift+config://ref1/glance/.saccade.{uuid}.{uuid}", f"swift:1:ref1:glance:{uuid}:{uuid}", f"glance/{uuid}-",
        f"a%20b/{uuid}.{uuid}-", "[DEFAULT]\nkey = 'a%%b'\n[ref1]\nuser: a:b\n  c\n; d\nauth_address = http://k/v3\n",
    ]):
        seed("swift_location", number, text)


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def stored():
    def text(value):
        return varint(len(value)) + value.encode()

    def some(value):
        return b"\1" + value

    none = b"\0"
    attempt, identity = b"\x22" * 16, b"\x11" * 16
    content = some(attempt + varint(300) + some(varint(1 << 40)) + some(text("d4")) + some(text("sha512")) + some(text("e5")))
    location = varint(1) + some(text("fast")) + text("file:///a") + varint(1) + text("k") + text("v")
    member = varint(1) + text("you") + b"\2" + varint(5) + varint(6)
    claim = some(b"\x33" * 16 + b"\x44" * 16 + varint((1 << 64) - 1) + b"\1")

    def image(deleted, full=True):
        out = identity + b"\1" + some(text("name")) + b"\1\1\1" + some(text("me")) + some(text("raw")) + some(text("bare"))
        out += varint(1) + varint((1 << 32) - 1)
        out += (content + location + varint(1) + text("t") + varint(1) + text("os") + text("") + member + claim) if full else (
            none + varint(0) * 4 + none)
        return b"\1" + out + varint(7) + varint(8) + varint(9) + deleted

    seed("record", "image", b"\0" + image(none))
    seed("record", "bare", b"\0" + image(none, full=False))
    for status in range(9):
        changed = bytearray(image(none))
        place = changed.index(b"name") + 4
        changed[17], changed[place] = status, status % 4
        seed("record", f"status-{status}", b"\0" + bytes(changed))
    for kind in range(4):
        task = b"\1" + b"\1" * 16 + bytes([kind, kind]) + some(text("us")) + text("me") + text("req-1") + b"\2" * 16
        task += text("{}") + text("no") + b"\3" * 16 + b"\4" * 16 + varint(1) + varint(2) + (some(varint(3)) if kind else none)
        seed("record", f"task-{kind}", b"\2" + task)
    seed("record", "deleted", b"\0" + image(some(varint(9) + b"\2")))
    head = b"\1" + text("ns") + some(text("d")) + none + b"\1\1" + some(text("o"))
    head += varint(1) + text("OS::Nova::Flavor") + some(text("hw:")) + none + varint(3) + none + varint(1) + some(varint(2))
    definition = json.dumps({"title": "t", "type": "string"})
    rest = b"\x55" * 16 + varint(3) + varint(1) + text("p") + text(definition)
    rest += varint(1) + text("obj") + none + varint(1) + text("p") + varint(0) + varint(1) + none
    rest += varint(1) + text("tag") + varint(1) + none
    seed("record", "namespace", b"\1" + head + rest)

    lines = [
        {"v": 1, "begin": "3f1a0a5e-9d0e-4c6d-8f4b-0d4b6a2e7c11", "entry": {"upload": {
            "image": "3f1a0a5e-9d0e-4c6d-8f4b-0d4b6a2e7c12", "attempt": "3f1a0a5e-9d0e-4c6d-8f4b-0d4b6a2e7c13",
            "store": "fast", "handle": "file:1:a"}}},
        {"v": 1, "begin": "3f1a0a5e-9d0e-4c6d-8f4b-0d4b6a2e7c14", "entry": {"deletion": {
            "image": "3f1a0a5e-9d0e-4c6d-8f4b-0d4b6a2e7c12", "revision": 7,
            "locations": [{"store": "fast", "url": "file:///a"}]}}},
        {"v": 1, "forget": "3f1a0a5e-9d0e-4c6d-8f4b-0d4b6a2e7c11"},
    ]
    written = [json.dumps(line).encode() for line in lines]
    seed("ledger", "json", b"\0" + b"\n".join(written) + b"\n")
    summed = b"".join(b"%08x " % zlib.crc32(line) + line + b"\n" for line in written)
    seed("ledger", "summed", b"\1" + summed)
    seed("ledger", "torn", b"\1" + summed[:-20])


def keystone():
    domain = {"id": "default", "name": "Default"}
    token = {
        "methods": ["password"], "expires_at": "2027-01-01T01:00:00.000000Z", "issued_at": "2027-01-01T00:00:00.000000Z",
        "user": {"id": "u", "name": "ada", "domain": domain}, "project": {"id": "p", "name": "demo", "domain": domain},
        "roles": [{"id": "r", "name": "Member"}, {"id": "s", "name": "reader"}], "is_admin_project": None,
    }
    rules = [{"id": "1", "service": "image", "method": "GET", "path": "/v2/images/{id}/**"}]
    catalog = [{"type": "image", "endpoints": [{"interface": "public", "url": "http://h/", "region": "R"}]}]
    variants = {
        "project": {},
        "system": {"system": {"all": True}, "project": None},
        "domain": {"domain": {"id": "d"}, "project": None},
        "bound": {"bind": {"kerberos": "x"}, "is_admin_project": True},
        "restricted": {"application_credential": {"id": "a", "access_rules": rules}, "catalog": catalog},
    }
    for name, changes in variants.items():
        seed("token", name, json.dumps({"token": token | changes}))
    seed("token", "empty", json.dumps({"token": token | {"user": {"id": "", "domain": domain}}}))
    seed("token", "arrays", json.dumps({"token": token | {"user": ["u"], "roles": [["Member"]]}}))

    body = b'{"token": {"id": 1}}'
    # The first byte: dialect, and whether a value was sent.
    for name, data in {
        "mg": b"\0VA 5 ktokens/k f16 t300\r\nvalue\r\n", "mg-stale": b"\0VA 1 t-1 f0 W ktokens/k\r\nx\r\n", "en": b"\0EN\r\n",
        "get": b"\1VALUE tokens/k 0 5\r\nvalue\r\nEND\r\n", "end": b"\1END\r\n", "stored": b"\5STORED\r\n",
        "error": b"\1SERVER_ERROR out of memory\r\n", "unauthenticated": b"\0CLIENT_ERROR unauthenticated\r\n",
        "binary": b"\2" + struct.pack(">BBHBBHIIQ", 0x81, 0, 0, 4, 0, 0, 9, 0x01020304, 0) + bytes(4) + b"value",
        "binary-miss": b"\2" + struct.pack(">BBHBBHIIQ", 0x81, 0, 0, 0, 0, 1, 9, 0x01020304, 0) + b"Not found",
        "binary-set": b"\6" + struct.pack(">BBHBBHIIQ", 0x81, 1, 0, 0, 0, 0, 0, 0x01020304, 0),
    }.items():
        seed("memcached", name, data)
    for name, status in {"login": 0, "login-refused": 0x20}.items():
        seed("memcached", name, b"\x0a" + struct.pack(">BBHBBHIIQ", 0x81, 0x21, 0, 0, 0, status, 0, 0x01020304, 0))
    for number, address in enumerate(["localhost:11211", "inet6:[::1]:1", "unix:/s", "[::1]", "inet:h", "/s", "::1"]):
        seed("memcached", f"address-{number}", b"\0" + address.encode())
    # The first byte: flags, placement, strategy.
    seed("memcached_value", "plain", b"\0" + body)
    seed("memcached_value", "list", b"\x02" + b'[{"token": {}}, "2027-01-01"]')
    seed("memcached_value", "compressed", bytes([3 | 8]) + zlib.compress(body))
    keys = hmac.new(b"secret", b"gAAAAAB" + b"MAC", hashlib.sha384).digest()
    data = base64.b64encode(body)
    # Signed with a key of another token: must not be believed.
    signature = base64.b64encode(hmac.new(keys[16:32], data + b"x", hashlib.sha384).digest())
    seed("memcached_value", "signed", b"\0" + signature + data)

    for number, text in enumerate([
        "/v2/images\n/v2/images", "/v2/images/a/file\n/v2/images/{image_id}/file", "/v2/a/b/c\n/v2/**", "/v2/im%61ges\n/v2/images",
        "/v2/a%2Fb\n/v2/*", "//\n/*/\n/{x\n}", "/aab\n/*a*b\n/{a}{b}", "/v2/images/\n/v2/images\n**",
    ]):
        seed("access_rules", number, text)


def definitions():
    namespace = {
        "namespace": "OS::Compute::X", "display_name": "X", "description": "d", "visibility": "public", "protected": True,
        "owner": "admin", "resource_type_associations": [{"name": "OS::Nova::Flavor", "prefix": "hw:", "properties_target": None}],
        "properties": {"cpu": {"title": "CPU", "type": "integer", "minimum": 0, "maximum": 1.5, "default": 1, "enum": [1, 2],
                               "operators": ["<or>"], "readonly": False}},
        "objects": [{"name": "o", "description": "d", "required": ["a"], "properties": {
            "a": {"title": "A", "type": "array", "items": {"type": "string", "enum": ["x"]}, "uniqueItems": True}}}],
        "tags": [{"name": "t"}],
    }
    seed("metadef", "namespace", json.dumps(namespace))
    seed("metadef", "bare", json.dumps({"namespace": "n"}))
    seed("metadef", "object", json.dumps(namespace["objects"][0]))
    seed("metadef", "property", json.dumps({"name": "p", "title": "P", "type": "string", "pattern": "^a$", "maxLength": 5}))
    seed("metadef", "tags", json.dumps({"tags": [{"name": "a"}, {"name": "b"}]}))


class Pipe(io.BytesIO):
    """What is written cannot be gone back to."""

    def seek(self, *_):
        raise OSError


def compressed():
    data = b"a disk of which little is to be said. " * 20
    archive, stream = io.BytesIO(), Pipe()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("disk", data)
    # Checksum and sizes follow the data.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("disk", data)
    few = b"little. " * 4
    several, wide = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(several, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("one", few)
        packed.writestr("two", few)
    with zipfile.ZipFile(wide, "w", zipfile.ZIP_STORED) as packed, packed.open("disk", "w", force_zip64=True) as file:
        file.write(few)
    zip_archive = archive.getvalue()
    lha = (LHA / "lh5-level0.lzh").read_bytes()
    directory = b"-lhd-" + bytes(8) + b"\0\0\0\0\x20\0\1a\0\0"
    directory = bytes([len(directory), sum(directory) & 0xFF]) + directory
    nothing = b"-lh0-" + bytes(8) + b"\0\0\0\0\x20\0\1a\0\0"
    nothing = bytes([len(nothing), sum(nothing) & 0xFF]) + nothing
    listed = zip_archive.rindex(b"PK\1\2")
    zstd = subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout
    for name, packed in [
        ("gzip", gzip.compress(data, mtime=0)),
        ("gzips", gzip.compress(data, mtime=0) * 2 + bytes(8)),
        ("xz", lzma.compress(data)),
        ("bzip2", bz2.compress(data)),
        ("zstd", zstd),
        ("zstd-skipped", zstd + struct.pack("<II", 0x184D2A50, 4) + b"skip" + zstd),
        ("xz-more", lzma.compress(data) + b"more"),
        ("zip", zip_archive),
        ("zip-two", several.getvalue()),
        ("zip-two-listed", zip_archive[:listed] + zip_archive[listed:-22] * 2 + zip_archive[-22:]),
        ("zip-64", wide.getvalue()),
        ("zip-encrypted", patched(zip_archive, 6, b"\1")),
        ("lh-two", lha[:-1] + lha),
        ("lh-more", lha + b"more"),
        ("lh-directory", directory + b"\0"),
        ("lh-nothing", nothing + b"\0"),
        ("zip-stream", stream.getvalue()),
        *[(file.stem, file.read_bytes()) for file in sorted(LHA.glob("lh*.lzh"))],
    ]:
        seed("decompress", name, packed)


def main():
    for old in CORPUS.glob("*/seed-*"):
        old.unlink()
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        qcow2(work)
        vmdk(work)
        others(work)
        ova(work)
    for make in [http, policy, configuration, outgoing, stored, keystone, definitions, compressed]:
        make()
    seeds = list(CORPUS.glob("*/seed-*"))
    print(f"{len(seeds)} seeds, {sum(seed.stat().st_size for seed in seeds)} bytes")


if __name__ == "__main__":
    main()
