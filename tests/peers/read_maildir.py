"""What Python's email package reads in the mails of a maildir's folder: read_maildir.py FOLDER

Prints a line of JSON for each mail, in the order in which they came. Headers that servers add on the way are left out.
"""

import email
import json
import pathlib
import sys
from email import policy
from email.utils import parsedate_to_datetime

ADDED = {"return-path", "delivered-to", "x-original-to", "received"}


def report(mail):
    if mail.get_content_type() != "multipart/report":
        return None
    _, status, original = mail.iter_parts()
    # One block for the mail and one for each recipient; of the mail that came back at least its headers.
    recipient = [block for block in status.get_payload() if block["Final-Recipient"]][0]
    returned = original.get_payload()
    returned = returned[0] if isinstance(returned, list) else email.message_from_string(returned, policy=policy.default)
    return {
        "action": recipient["Action"],
        "status": recipient["Status"],
        "recipient": recipient["Final-Recipient"].split(";", 1)[1].strip(),
        "diagnostic": " ".join(recipient["Diagnostic-Code"].split()),
        "message_id": returned["Message-ID"],
    }


for path in sorted(pathlib.Path(sys.argv[1]).glob("*"), key=lambda path: path.stat().st_mtime_ns):
    mail = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    headers = [[name, " ".join(str(value).split())] for name, value in mail.items() if name.lower() not in ADDED]
    body = mail.get_body(("plain",))
    print(
        json.dumps(
            {
                "headers": headers,
                "date": int(parsedate_to_datetime(mail["Date"]).timestamp()) if mail["Date"] else None,
                "body": body.get_content().replace("\r\n", "\n") if body else "",
                "report": report(mail),
            }
        )
    )
