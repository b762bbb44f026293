"""Plivo's codes, and what they mean.

https://www.plivo.com/docs/messaging/troubleshooting/error-codes
"""

from collections.abc import Mapping

OPT_OUT_CODES = frozenset({"200"})
ACCOUNT_CODES = frozenset({"401", "402"})
ERROR_MEANINGS: Mapping[str, str] = {
    "400": "Plivo could not read the request. Check numbers and attachments.",
    "401": "Plivo refused the credentials. Check auth id and auth token.",
    "402": "The Plivo account's credit is used up. Top it up.",
    "403": "The Plivo account may not text this country. Allow it in its geo permissions.",
    "404": "Plivo does not know the account or the sender. Check the auth id and the number.",
    "405": "Plivo does not allow this request. Ask for help.",
    "409": "Plivo says that this collides with another request. Trying again may help.",
    "422": "Plivo cannot send this text. Check numbers and attachments.",
    "429": "Plivo took too many requests at once; the text is tried again.",
    "10": "The carrier called the text invalid. Change its words or attachments.",
    "20": "The carrier's network failed. Try later.",
    "30": "The carrier filtered the text as spam. Change its words; check registration.",
    "40": "The sender is not a number of this Plivo account, or cannot text.",
    "50": "The recipient's number is not valid or is a landline. Correct the lead's phone.",
    "70": "The recipient's number is out of service. Correct the lead's phone.",
    "80": "The handset could not be reached: switched off or out of coverage. Try later.",
    "200": "The recipient opted out from this sender. Only the recipient can undo it.",
    "420": "The text expired in Plivo's queue. Send more slowly or from more numbers.",
    "450": "The Plivo account may not text this country. Allow it in its geo permissions.",
    "900": "The Plivo account's credit is used up. Top it up.",
    "1000": "Plivo does not know why it failed. Trying once more may help.",
}
