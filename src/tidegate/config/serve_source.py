"""Where the settings of `tidegate serve` come from; they can be read again while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tidegate.config.models import behind, only, upstream_url
from tidegate.config.origins import Origins
from tidegate.config.refusals import refuse_exposed, refuse_unavailable, refuse_unusable
from tidegate.config.settings import Settings
from tidegate.config.sources import DEFAULT_FILE, read
from tidegate.config.store_url import with_state_store
from tidegate.core.api_key import key_in
from tidegate.errors import ConfigError

UPSTREAM_KEY = "UPSTREAM_API_KEY"
"""The environment variable with the key for `--upstream`, as in the documentation's example."""


class ServeSource:
    """The file, the environment, and the flags of one command.

    `overrides` are as in `load`. `model` and `upstream` are `--model` and `--upstream`; `insecure` lets everyone in.
    """

    def __init__(
        self,
        file: Path | None,
        environ: Mapping[str, str],
        overrides: Mapping[str, object],
        *,
        model: str | None = None,
        upstream: str | None = None,
        insecure: bool = False,
    ) -> None:
        self._file = file
        self._environ = environ
        self._overrides = overrides
        self._model = model
        self._upstream = upstream
        self._insecure = insecure
        self._origins = Origins()
        self._settings = Settings()

    def read(self) -> Settings:
        """The settings as they are now, which can be served with. May take seconds, where an upstream lists its models.

        Raises `ConfigError`, which names the key, the value and its source, or what an upstream has failed with.
        """
        # A file that was there and is gone is a fault, not the defaults.
        self._file = self._file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        self._settings, self._origins = read(self._file, self._environ, self._overrides)
        try:
            refuse_unavailable(self._settings)
            refuse_exposed(self._settings, insecure=self._insecure)
            self._settings = with_state_store(self._chosen(), self._environ)
            refuse_unusable(self._settings, self._environ)
        except ConfigError as error:
            raise self.located(error) from error
        return self._settings

    def located(self, error: ConfigError) -> ConfigError:
        """The error of a value that was read last and has failed in use, with the value's source."""
        return self._origins.located(error, self._settings)

    def _chosen(self) -> Settings:
        """The settings with the models that the flags choose."""
        if self._upstream is not None:
            self._origins.models_flag, self._origins.only_flag = "--upstream", True
            return self._behind(self._upstream)
        if self._model is not None:
            self._origins.models_flag = "--model"
            return only(self._settings, self._model)
        return self._settings

    def _behind(self, upstream: str) -> Settings:
        # Only this flag needs a client.
        from tidegate.client.models import list_models

        url = upstream_url(upstream)
        api_key = key_in(UPSTREAM_KEY, self._environ)
        names = list_models(url, api_key)
        key_env = UPSTREAM_KEY if api_key else ""
        return behind(self._settings, url, names, wanted=self._model, api_key_env=key_env)
