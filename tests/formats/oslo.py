"""What oslo.utils sees in the files named on standard input, one JSON object a line.

Asked as Glance asks on upload: the whole stream in chunks, then which formats match and whether that one is safe.
"""

import json
import logging
import sys

from oslo_utils.imageutils import format_inspector


def inspect(name):
    with open(name, "rb") as file:
        wrapper = format_inspector.InspectWrapper(file)
        while wrapper.read(64 * 1024):
            pass
        wrapper.close()
    formats = {str(inspector): inspector for inspector in wrapper.formats}
    if len(formats) > 1 and set(formats) != {"iso", "gpt"}:
        return {"format": None, "virtual_size": None, "safe": False, "why": "several"}
    inspector = formats.get("iso") or next(iter(formats.values()))
    answer = {"format": str(inspector), "virtual_size": None, "safe": True, "why": None}
    try:
        answer["virtual_size"] = inspector.virtual_size
        inspector.safety_check()
    except Exception as error:
        answer.update(safe=False, why=f"{type(error).__name__}: {error}")
    return answer


logging.disable(logging.CRITICAL)
for line in sys.stdin:
    print(json.dumps(inspect(line.rstrip("\n"))))
