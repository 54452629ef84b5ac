"""A Keystone on SQLite for the tests, one process.

    server.py prepare DIR           makes the database, the keys and everyone in it: 12 s; made once, then copied
    server.py serve DIR HOST PORT   serves it until it is killed; `section.option=value` may follow

Passwords are `NAME-password`. Tokens live a day; shorter ones come from application credentials that end sooner.
"""
import os
import pathlib
import sqlite3
import subprocess
import sys
import warnings

warnings.simplefilter('ignore')

# Who is there: user, project, roles. Keystone's own bootstrap makes `admin` and the roles.
PROJECTS = ('service', 'demo', 'alt_demo')
USERS = (
    ('glance', 'service', ('admin', 'service')),
    ('nova', 'service', ('service',)),
    ('demo', 'demo', ('member',)),
    ('demo_reader', 'demo', ('reader',)),
    ('alt_demo', 'alt_demo', ('member',)),
    ('alt_demo_reader', 'alt_demo', ('reader',)),
)


def password(name):
    return f'{name}-password'


def configuration(directory, overrides=()):
    """What Keystone's install guide has, but for SQLite, and for hashing passwords fast."""
    sections = {
        'DEFAULT': {'use_stderr': 'true', 'default_log_levels': 'keystone=WARNING,root=WARNING', 'max_token_size': '1024'},
        'database': {'connection': f'sqlite:///{directory}/keystone.db', 'sqlite_synchronous': 'false'},
        'token': {'provider': 'fernet', 'expiration': '86400'},
        'fernet_tokens': {'key_repository': f'{directory}/fernet-keys'},
        'fernet_receipts': {'key_repository': f'{directory}/receipt-keys'},
        'credential': {'key_repository': f'{directory}/credential-keys'},
        # As every Keystone has one, but in this process, where nothing goes stale: without it an answer takes 0.6 s.
        'cache': {'enabled': 'true', 'backend': 'dogpile.cache.memory_pickle'},
        'identity': {'password_hash_rounds': '4'},
        'oslo_policy': {'enforce_scope': 'true', 'enforce_new_defaults': 'true'},
    }
    for override in overrides:
        name, value = override.split('=', 1)
        section, option = name.split('.', 1)
        sections.setdefault(section, {})[option] = value
    lines = []
    for section, options in sections.items():
        lines.append(f'[{section}]')
        lines += [f'{option} = {value}' for option, value in options.items()]
    path = directory / 'keystone.conf'
    path.write_text('\n'.join(lines) + '\n')
    os.environ['OS_KEYSTONE_CONFIG_DIR'] = str(directory)
    return path


def application():
    # It would take this command's arguments for its own.
    sys.argv = ['keystone']
    from keystone.wsgi.api import application
    return application


def prepare(directory):
    directory.mkdir(parents=True)
    conf = configuration(directory)
    manage = pathlib.Path(sys.executable).parent / 'keystone-manage'
    who = ('--keystone-user', str(os.getuid()), '--keystone-group', str(os.getgid()))

    def run(*words):
        subprocess.run([manage, '--config-file', conf, *words], check=True)

    run('db_sync')
    run('fernet_setup', *who)
    run('receipt_setup', *who)
    run('credential_setup', *who)
    url = 'http://127.0.0.1:5000/v3'
    run('bootstrap', '--bootstrap-password', password('admin'), '--bootstrap-region-id', 'RegionOne',
        '--bootstrap-public-url', url, '--bootstrap-internal-url', url, '--bootstrap-admin-url', url)
    with sqlite3.connect(directory / 'keystone.db') as database:
        database.execute('PRAGMA journal_mode = WAL')
    seed()


def api():
    """The API as the administrator, in this process: `call(METHOD, PATH, BODY)`."""
    from werkzeug.test import Client
    client = Client(application())
    headers = {}

    def call(method, path, body=None):
        answer = client.open('/v3' + path, method=method, json=body, headers=headers)
        if answer.status_code >= 300:
            raise SystemExit(f'{method} {path}: {answer.status} {answer.get_data(as_text=True)}')
        return answer

    domain = {'id': 'default'}
    answer = call('POST', '/auth/tokens', {'auth': {
        'identity': {'methods': ['password'], 'password': {
            'user': {'name': 'admin', 'domain': domain, 'password': password('admin')}}},
        'scope': {'project': {'name': 'admin', 'domain': domain}}}})
    headers['X-Auth-Token'] = answer.headers['X-Subject-Token']
    return call


def seed():
    call = api()

    def create(kind, **fields):
        return call('POST', f'/{kind}s', {kind: fields}).json[kind]['id']

    roles = {role['name']: role['id'] for role in call('GET', '/roles').json['roles']}
    projects = {name: create('project', name=name, domain_id='default') for name in PROJECTS}
    for name, project, granted in USERS:
        user = create('user', name=name, domain_id='default', password=password(name),
                      default_project_id=projects[project])
        for role in granted:
            call('PUT', f'/projects/{projects[project]}/users/{user}/roles/{roles[role]}')
    image = create('service', type='image', name='glance')
    for interface in ('public', 'internal', 'admin'):
        create('endpoint', service_id=image, interface=interface, url='http://127.0.0.1:9292', region_id='RegionOne')


def serve(directory, host, port, overrides):
    configuration(directory, overrides)
    # The catalogue says where this Keystone is: services validate tokens there.
    with sqlite3.connect(directory / 'keystone.db') as database:
        database.execute(
            "UPDATE endpoint SET url = ? WHERE region_id = 'RegionOne' AND service_id IN "
            "(SELECT id FROM service WHERE type = 'identity')", (f'http://{host}:{port}/v3',))
    # The first request is slow.
    api()('GET', '/projects')
    import waitress
    # One request at a time: SQLite refuses the second of two that write, and Keystone makes it an error 500.
    waitress.serve(application(), host=host, port=int(port), threads=1, ident=None, clear_untrusted_proxy_headers=True)


if __name__ == '__main__':
    command, directory, *rest = sys.argv[1:]
    directory = pathlib.Path(directory).resolve()
    if command == 'prepare':
        prepare(directory)
    else:
        serve(directory, *rest[:2], rest[2:])
