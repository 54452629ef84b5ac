#!/usr/bin/env python3
"""Read and write tokens in memcached with keystonemiddleware's own code.

    ksm_cache.py set --servers 127.0.0.1:11211 --token T < body.json
    ksm_cache.py get --servers 127.0.0.1:11211 --token T > body.json
    ksm_cache.py key --servers 127.0.0.1:11211 --token T

The body is a JSON text {"token": {...}}. `get` ends with status 1 when the cache does not have the token, `set` when
reading it back at once does not give the same. `key` prints the entry's name in memcached.

Needs keystonemiddleware, oslo.cache, python-memcached and cryptography; with --tls-cafile, --tls-certfile or
--username python-binary-memcached as well.
"""

import argparse
import json
import logging
import ssl
import sys

from keystonemiddleware.auth_token import _cache


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('command', choices=('set', 'get', 'key'))
    parser.add_argument('--servers', required=True, help='memcached_servers: separated by commas, in order')
    parser.add_argument('--strategy', default='None', help='memcache_security_strategy: None, MAC or ENCRYPT')
    parser.add_argument('--secret', help='memcache_secret_key')
    parser.add_argument('--token', required=True)
    parser.add_argument('--cache-time', type=int, default=300, help='token_cache_time, in seconds')
    parser.add_argument('--socket-timeout', type=float, default=3, help='memcache_pool_socket_timeout, in seconds')
    parser.add_argument('--dead-retry', type=int, default=300, help='memcache_pool_dead_retry, in seconds')
    parser.add_argument('--tls-cafile', help='memcache_tls_cafile; turns memcache_tls_enabled on')
    parser.add_argument('--tls-certfile', help='memcache_tls_certfile')
    parser.add_argument('--tls-keyfile', help='memcache_tls_keyfile')
    parser.add_argument('--username', help='memcache_username; turns memcache_sasl_enabled on')
    parser.add_argument('--password', help='memcache_password')
    return parser.parse_args()


def token_cache(options):
    """As AuthProtocol._token_cache_factory makes it."""
    log = logging.getLogger('ksm_cache')
    settings = {
        'cache_time': options.cache_time,
        'memcached_servers': options.servers.split(','),
        'use_advanced_pool': True,
        'dead_retry': options.dead_retry,
        'socket_timeout': options.socket_timeout,
        'maxsize': 10,
        'unused_timeout': 60,
        'conn_get_timeout': 10,
        'sasl_enabled': options.username is not None,
        'username': options.username,
        'password': options.password,
        'tls_enabled': options.tls_cafile is not None,
    }
    if options.tls_cafile:
        settings['tls_context'] = ssl.create_default_context(cafile=options.tls_cafile)
        if options.tls_certfile:
            settings['tls_context'].load_cert_chain(options.tls_certfile, options.tls_keyfile)
    if options.strategy.lower() == 'none':
        cache = _cache.TokenCache(log, **settings)
    else:
        cache = _cache.SecureTokenCache(log, options.strategy, options.secret, **settings)
    cache.initialize({})
    return cache


def main():
    options = arguments()
    logging.basicConfig(stream=sys.stderr)
    cache = token_cache(options)
    if options.command == 'key':
        print(cache._get_cache_key(options.token)[0])
        return 0
    if options.command == 'set':
        body = json.load(sys.stdin)
        cache.set(options.token, body)
        return 0 if cache.get(options.token) == body else 1
    body = cache.get(options.token)
    if body is None:
        return 1
    json.dump(body, sys.stdout)
    return 0


if __name__ == '__main__':
    sys.exit(main())
