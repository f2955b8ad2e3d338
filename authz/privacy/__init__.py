"""Privacy: what stands in records in place of people, who can find them again, and how one of them is erased."""

from authz.privacy.erasing import Erasure, erase_offline
from authz.privacy.finding import known_pseudonyms, with_names
from authz.privacy.key_changes import destroy_key, rotate_key
from authz.privacy.keyring import DEFAULT_KEY, KeyInForceError, Keyring, NoSuchKeyError, load_keyring
from authz.privacy.room import Privacy
from authz.privacy.sealing import NotOpenedError, Opener, load_private_team_key, new_team_key
from authz.privacy.store import DEFAULT_STORE

__all__ = [
    "DEFAULT_KEY",
    "DEFAULT_STORE",
    "Erasure",
    "KeyInForceError",
    "Keyring",
    "NoSuchKeyError",
    "NotOpenedError",
    "Opener",
    "Privacy",
    "destroy_key",
    "erase_offline",
    "known_pseudonyms",
    "load_keyring",
    "load_private_team_key",
    "new_team_key",
    "rotate_key",
    "with_names",
]
