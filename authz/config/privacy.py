"""What of privacy cannot be meant together."""

from authz.config.audit import AuditSettings
from authz.core import ConfigurationError

_KEY_LINES = """\
[audit]
security_key = "/etc/authz/team.pub"   # authz keys team makes the pair"""


def check_privacy(audit: AuditSettings) -> None:
    """Raises ConfigurationError, naming the key, with the fix."""
    fields = audit.fields
    sealed = [name for name in ("ip", "user_agent", "params") if getattr(fields, name) == "encrypt"]
    wanting = ["audit.names"] if audit.names else [f"audit.fields.{name}" for name in sealed]
    if wanting and not audit.security_key:
        raise ConfigurationError(f"{wanting[0]}: needs the security team's public key. Add\n\n{_KEY_LINES}")
    if audit.privacy == "salts" and fields.params == "encrypt":
        raise ConfigurationError(
            "audit.fields.params: encrypted parameters stay readable for the security team after a person was erased; "
            'with privacy = "salts" use keep, coarsen or drop'
        )
