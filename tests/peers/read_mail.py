"""What Python's email package reads in the .eml files of a folder, and whether dkimpy takes their signatures: read_mail.py FOLDER RECORD

Prints a line of JSON for each file, by name. RECORD is the text of every TXT record that is asked for.
"""

import email
import json
import pathlib
import sys
from email import policy

import dkim

folder, record = pathlib.Path(sys.argv[1]), sys.argv[2].encode()
for path in sorted(folder.glob("*.eml")):
    raw = path.read_bytes()
    mail = email.message_from_bytes(raw, policy=policy.default)
    asked = []

    def dns(name, timeout=5):
        asked.append(name.decode())
        return record

    addresses = {
        name: [[one.display_name, one.addr_spec] for one in mail[name].addresses]
        for name in ("From", "To", "Reply-To")
        if name in mail
    }
    parts = [[part.get_content_type(), part.get_content().replace("\r\n", "\n")] for part in mail.walk() if not part.is_multipart()]
    print(
        json.dumps(
            {
                "file": path.name,
                "names": mail.keys(),
                "subject": mail["Subject"],
                "addresses": addresses,
                "values": {name: " ".join(mail[name].split()) for name in ("List-Unsubscribe", "List-Unsubscribe-Post", "Message-ID")},
                "parts": parts,
                "defects": [str(defect) for part in mail.walk() for defect in part.defects],
                "signed": dkim.verify(raw, dnsfunc=dns),
                "asked": asked,
            }
        )
    )
