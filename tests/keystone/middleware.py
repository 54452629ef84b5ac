"""The oracle: keystonemiddleware itself, as it stands before every other service of a cloud.

Standard input: {"options": {NAME: VALUE of [keystone_authtoken]}, "tokens": [TOKEN]}.
Standard output: for each token {"status": 200 or 401 or 503, "user": ID, "roles": "member,reader"}.
"""
import json
import sys

from keystonemiddleware import auth_token
from webob import Request, Response


def service(environ, start_response):
    headers = Request(environ).headers
    found = {'user': headers.get('X-User-Id'), 'roles': headers.get('X-Roles')}
    return Response(json_body=found)(environ, start_response)


asked = json.load(sys.stdin)
middleware = auth_token.AuthProtocol(service, asked['options'])
answers = []
for token in asked['tokens']:
    answer = Request.blank('/', headers={'X-Auth-Token': token}).get_response(middleware)
    body = answer.json_body if answer.status_int == 200 else {}
    answers.append({'status': answer.status_int, **body})
json.dump(answers, sys.stdout)
