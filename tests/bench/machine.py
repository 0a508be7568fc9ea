"""The machine that figures were measured on."""

import os
import platform


def machine() -> str:
    """As it is named above every table."""
    return f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
