"""MONAI Label's web application, closed to the pages of other origins.

By default every page that a browser on this machine has open could read the server's photos and save labels.
MONAI Label's own setting for this, ``MONAI_LABEL_CORS_ORIGINS``, ends version 0.8.5 with an error at its start
when it comes from the environment, so it is set here, before the application is made.
"""

from __future__ import annotations

from monailabel.config import settings

settings.MONAI_LABEL_CORS_ORIGINS = [f"http://127.0.0.1:{settings.MONAI_LABEL_SERVER_PORT}"]

from monailabel.app import app  # noqa: E402

__all__ = ["app"]
