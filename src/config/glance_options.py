#!/usr/bin/env python3
"""Writes glance_options.tsv: every option that a glance-api.conf may carry.

The build does not run this. To follow a new Glance release, in a virtual environment:

    pip install glance==33.0.0
    for v in 30.0.0 28.1.0 24.2.1 20.2.0; do
        pip download --no-deps glance==$v
        unzip -p glance-$v-*.whl '*/etc/glance/glance-api.conf' >$v.conf
    done
    python glance_options.py "$VIRTUAL_ENV"/etc/glance/glance-api.conf 30.0.0.conf ... >glance_options.tsv

The first source is what the installed release registers, through the same entry points as oslo-config-generator.
The sample files, newest first, add what that misses: drivers whose libraries are absent, and options that were
removed since but still stand in the files of older clouds.
"""

import logging
import re
import sys

from glance_store import driver
from keystoneauth1 import loading
from oslo_config import generator, types

logging.disable(logging.CRITICAL)

RELEASE = "33"
NAMESPACES = """glance.api glance glance.scrubber glance.cache glance.store glance.multi_store
    keystonemiddleware.auth_token keystonemiddleware.audit oslo.db oslo.log oslo.messaging oslo.policy oslo.limit
    oslo.reports oslo.concurrency oslo.middleware oslo.middleware.cors oslo.middleware.healthcheck
    oslo.middleware.http_proxy_to_wsgi oslo.middleware.sizelimit castellan.config osprofiler""".split()
# Groups whose options come from the keystoneauth1 plugin that their auth_type names.
AUTH_GROUPS = ("keystone_authtoken", "oslo_limit")
BACKEND_GROUP = re.compile(r"^(file|cinder|glance\.store\..*)$")
# Their default is a fact of the machine, which the sample value stands for.
MACHINE = {"hostname", "processname", "python_interpreter"}
# Older than the oldest sample, and still met: (group, name): (kind, default, secret, aliases, last release).
ANCIENT = {
    ("DEFAULT", "ca_file"): ("string", "<None>", "-", "-", "19"),
    ("DEFAULT", "cert_file"): ("string", "<None>", "-", "-", "19"),
    ("DEFAULT", "key_file"): ("string", "<None>", "-", "-", "19"),
    ("DEFAULT", "enable_v1_api"): ("bool", "true", "-", "-", "16"),
    ("DEFAULT", "notification_driver"): ("multi", "<None>", "-", "-", "12"),
    ("DEFAULT", "rpc_backend"): ("string", "rabbit", "-", "-", "16"),
    ("DEFAULT", "sql_connection"): ("string", "<None>", "secret", "-", "12"),
    ("DEFAULT", "verbose"): ("bool", "true", "-", "-", "15"),
}

# Registered when they are read, so that no list of options has them.
UNLISTED = {
    ("oslo_limit", "auth_section"): ("string", "<None>", "-", "-", RELEASE),
    ("oslo_limit", "auth_type"): ("string", "<None>", "-", "oslo_limit.auth_plugin", RELEASE),
}

# Names that no release registers any more, and that files of clouds still carry: they hold.
FORMER = {("keystone_authtoken", "www_authenticate_uri"): ["keystone_authtoken.auth_uri"]}


def kind(opt):
    if opt.multi:
        return "multi"
    for cls, name in ((types.Boolean, "bool"), (types.Port, "port"), (types.Integer, "int"), (types.Float, "float"),
                      (types.List, "list"), (types.Dict, "dict")):
        if isinstance(opt.type, cls):
            return name
    return "string"


def text(value):
    if value is None:
        return "<None>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ",".join(f"{k}:{v}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(text(v) for v in value)
    return re.sub(r"\s+", " ", str(value))


def group_of(group):
    name = str(getattr(group, "name", group) or "DEFAULT")
    return "<backend>" if BACKEND_GROUP.match(name) else name


def live():
    for _, listing in generator._list_opts(NAMESPACES):
        for group, opts in listing:
            for opt in opts:
                yield group_of(group), opt
    # Registered when a backend is opened, and so by no entry point.
    for opt in driver._MULTI_BACKEND_OPTS:
        yield "<backend>", opt
        yield driver.SHARED_CONF_GROUP, opt
    for plugin in loading.get_available_plugin_names():
        try:
            opts = loading.get_plugin_options(plugin)
        except Exception:  # a plugin whose library is absent
            continue
        for group in AUTH_GROUPS:
            for opt in opts:
                yield group, opt._to_oslo_opt()


def row(group, opt):
    aliases = []
    for old in opt.deprecated_opts:
        alias = f"{old.group or group}.{old.name or opt.dest}"
        if alias != f"{group}.{opt.dest}" and alias not in aliases:
            aliases.append(alias)
    default = opt.sample_default if opt.dest in MACHINE else opt.default
    return (kind(opt), text(default), "secret" if opt.secret else "-", ",".join(aliases) or "-", RELEASE)


def sample(path):
    """Rows of a generated sample file: '# (string value)' and '#name = default' under '[group]'."""
    release = re.search(r"(\d+)\.[\d.]+\.conf$", path)
    group, type_name, aliases = "DEFAULT", "string", []
    for line in open(path, encoding="utf-8"):
        if m := re.match(r"^\[(.+)\]$", line):
            group = group_of(m[1])
        elif m := re.match(r"^#.*\((\w+) (?:value|valued|address value)\)\s*$", line):
            type_name = {"boolean": "bool", "integer": "int", "floating": "float", "point": "float", "list": "list",
                         "dict": "dict", "multi": "multi", "port": "port"}.get(m[1], "string")
        elif re.match(r"^#\s*\(port value\)", line):
            type_name = "port"
        elif re.match(r"^#\s*\(floating point value\)", line):
            type_name = "float"
        elif m := re.match(r"^# Deprecated group/name - \[(.+)\]/(\S+)", line):
            aliases.append(f"{m[1]}.{m[2]}")
        elif m := re.match(r"^#([a-z]\w*) = ?(.*)$", line):
            yield group, m[1], (type_name, m[2].strip(), "-", ",".join(aliases) or "-",
                                release[1] if release else RELEASE)
            type_name, aliases = "string", []


def merged(*lists):
    names = {name for names in lists for name in names.split(",") if name != "-"}
    return ",".join(sorted(names)) or "-"


def main():
    rows = {}
    for group, opt in live():
        found = row(group, opt)
        known = rows.setdefault((group, opt.dest), found)
        # Plugins that share an option do not all know its former names.
        rows[group, opt.dest] = (*known[:3], merged(known[3], found[3]), known[4])
    for path in sys.argv[1:]:
        for group, name, found in sample(path):
            rows.setdefault((group, name), found)
    for key, found in (ANCIENT | UNLISTED).items():
        rows.setdefault(key, found)
    for key, former in FORMER.items():
        rows[key] = (*rows[key][:3], merged(rows[key][3], ",".join(former)), rows[key][4])
    # A second name for an option is no option of its own.
    names = {alias for (group, _), r in rows.items() for alias in r[3].split(",") if r[4] == RELEASE}
    print("# group\toption\tkind\tdefault\tsecret\tdeprecated names\tlast release that has it")
    print("# Generated by glance_options.py; do not edit.")
    for (group, name), r in sorted(rows.items()):
        if (r[4] != RELEASE or group in AUTH_GROUPS) and f"{group}.{name}" in names:
            continue
        print("\t".join((group, name, *r)))


main()
