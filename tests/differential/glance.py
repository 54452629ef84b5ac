"""Python Glance for the differential test and the benchmark: on files, under uWSGI; on SQLite, or what GLANCE_DATABASE
names.

    glance.py prepare DIR           makes an empty database: made once, then copied
    glance.py serve DIR HOST PORT [PROCESSES]
                                    serves it, as DIR/glance-api.conf says, until it is killed: in one process, or so many

Callers are who the headers of a request name, as behind keystonemiddleware: the pipeline is Glance's own for the flavor
`keystone` (`keystone+cachemanagement` with an image_cache_dir), without `authtoken`, whose header in answers of 401 is
added here.
"""
import os
import pathlib
import sqlite3
import subprocess
import sys


def stock(name):
    return pathlib.Path(sys.prefix) / 'etc/glance' / name


def database(directory):
    return os.environ.get('GLANCE_DATABASE') or f'sqlite:///{directory}/glance.db'


def prepare(directory):
    directory.mkdir(parents=True)
    conf = directory / 'prepare.conf'
    conf.write_text(f'[database]\nconnection = {database(directory)}\n')
    manage = pathlib.Path(sys.executable).parent / 'glance-manage'
    subprocess.run([manage, '--config-file', conf, 'db_sync'], check=True)
    conf.unlink()


def serve(directory, host, port, processes='1'):
    paste = stock('glance-api-paste.ini').read_text()
    paste = paste.replace(' authtoken ', ' ')
    # This filter would look into /etc/glance by itself.
    project = 'oslo_config_project = glance'
    (directory / 'paste.ini').write_text(
        paste.replace(project, f'{project}\noslo_config_file = {directory}/glance-api.conf'))
    # One file in the place of both that Glance would look for.
    own = directory / 'glance-api.conf'
    text = own.read_text()
    flavor = 'keystone+cachemanagement' if 'image_cache_dir' in text else 'keystone'
    own.write_text(text + f'''
[database]
connection = {database(directory)}
[paste_deploy]
flavor = {flavor}
config_file = {directory}/paste.ini
''')
    if 'GLANCE_DATABASE' not in os.environ:
        with sqlite3.connect(directory / 'glance.db') as opened:
            opened.execute('PRAGMA journal_mode = WAL')
    os.environ['OS_GLANCE_CONFIG_DIR'] = str(directory)
    os.environ['OWN_ADDRESS'] = f'http://{host}:{port}'
    uwsgi = pathlib.Path(sys.executable).parent / 'uwsgi'
    several = [] if processes == '1' else ['--master', '--no-orphans', '--processes', processes]
    # As Glance's documentation says.
    os.execv(uwsgi, [
        'uwsgi', *several, '--http-socket', f'{host}:{port}', '--virtualenv', sys.prefix,
        '--wsgi-file', __file__,
        '--enable-threads', '--need-app', '--die-on-term', '--buffer-size', '65535',
        '--http-chunked-input', '--http-auto-chunked', '--http-raw-body', '--chunked-input-limit', '16777216',
        '--disable-logging', '--add-header', 'Connection: close',
    ])


def challenging(glance):
    """What `authtoken` does to answers of 401."""
    challenge = f'Keystone uri="{os.environ["OWN_ADDRESS"]}"'

    def application(environ, start_response):
        def start(status, headers, *rest):
            if status.startswith('401'):
                headers = [*headers, ('WWW-Authenticate', challenge)]
            return start_response(status, headers, *rest)
        return glance(environ, start)
    return application


if __name__ == '__main__':
    command, directory, *rest = sys.argv[1:]
    directory = pathlib.Path(directory).resolve()
    if command == 'prepare':
        prepare(directory)
    else:
        serve(directory, *rest)
elif __name__.startswith('uwsgi_file'):
    from glance.wsgi.api import application as glance
    application = challenging(glance)
