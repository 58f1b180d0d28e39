"""The policy: where it is found, how it is loaded, adapted, sharded and saved."""

import logging

# peft imports bitsandbytes wherever that is installed, which then warns of a kernel that it does without.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
