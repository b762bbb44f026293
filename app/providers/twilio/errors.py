"""Twilio's codes, and what they mean.

https://www.twilio.com/docs/api/errors
"""

from collections.abc import Mapping

OPT_OUT_CODES = frozenset({"21610"})
RETRYABLE_CODES = frozenset({"20429", "21611"})
"""The text was surely not taken: too many requests at once, or the sender's queue is full."""
ACCOUNT_CODES = frozenset({"401", "402", "10001", "20003", "20005", "90010"})
ERROR_MEANINGS: Mapping[str, str] = {
    "10001": "The Twilio account is not active. Check its balance; ask Twilio why it was suspended.",
    "20003": "Twilio refused the credentials. Check account SID and auth token.",
    "20005": "The Twilio account is not active. Ask Twilio why it was suspended.",
    "20429": "Twilio took too many requests at once; the text is tried again.",
    "21211": "The recipient's number is not valid. Correct the lead's phone.",
    "21214": "The recipient's number cannot be reached. Check the lead's phone.",
    "21217": "The recipient's number is not valid. Correct the lead's phone.",
    "21408": "The Twilio account may not text this country. Allow it in its geo permissions.",
    "21602": "The text was empty.",
    "21606": "The sender is not a number of this Twilio account, or cannot text.",
    "21608": "A trial account texts verified numbers only. Upgrade the Twilio account.",
    "21610": "The recipient opted out from this sender. Only the recipient can undo it.",
    "21611": "The sender's queue at Twilio is full; the text is tried again.",
    "21612": "Twilio has no route between sender and recipient. Try another number.",
    "21614": "The recipient's number is not a mobile. Ask the lead for another one.",
    "21617": "The text is longer than Twilio takes (1600 characters).",
    "21619": "The text was empty.",
    "21620": "Twilio could not read an attachment's address.",
    "30001": "The sender's queue at Twilio overflowed. Send more slowly or from more numbers.",
    "30003": "The handset could not be reached: switched off or out of coverage. Try later.",
    "30004": "The recipient or the carrier blocked the text. Do not repeat it.",
    "30005": "The number is not known to its carrier. Check the lead's phone.",
    "30006": "The number is a landline or its carrier cannot be reached.",
    "30007": "The carrier filtered the text as unwanted. Change its words; check registration.",
    "30008": "Twilio does not know why it failed. Trying once more may help.",
    "30022": "The daily limit of the registered campaign (10DLC) is used up.",
    "30023": "The daily limit of the brand with this carrier (10DLC) is used up.",
    "30027": "The carrier's daily limit of the campaign (10DLC) is used up.",
    "30032": "The toll-free number is not verified yet. Finish its verification.",
    "30034": "The sender is not registered for US texts (10DLC). Register it.",
    "30410": "The carrier did not answer in time. Try later.",
    "90010": "The Twilio account is not active. Check its balance; ask Twilio why it was suspended.",
    "14107": "More than 30 answers in 30 seconds between two numbers: Twilio stopped a loop.",
}
