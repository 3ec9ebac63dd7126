"""Which variables of this process its agents' commands have: those of a list, as nobody can list the secrets.

Keys of model providers, of clouds and of registries are in the environment of who starts agents, and a
command that prints all of it hands them to a model. Source of the names: environ(7), locale(7), and the
documents of the tools that they are for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from coagent.masking.names import is_secret_name

ALWAYS = (
    # the user and the machine
    "HOME", "LANG", "LANGUAGE", "LC_*", "LOGNAME", "PATH", "SHELL", "TZ", "USER",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_DIRS", "XDG_DATA_HOME", "XDG_STATE_HOME",
    # certificates, which are public
    "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE",
    # where tools are and how they build
    "AR", "ARCH", "AS", "CC", "CFLAGS", "CMAKE_*", "CPATH", "CPPFLAGS", "CXX", "CXXFLAGS", "LD", "LDFLAGS",
    "LD_LIBRARY_PATH", "LIBRARY_PATH", "MAKEFLAGS", "PKG_CONFIG_PATH", "SOURCE_DATE_EPOCH",
    "CARGO_BUILD_*", "CARGO_HOME", "CARGO_TARGET_DIR", "RUSTC", "RUSTFLAGS", "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CGO_ENABLED", "GOCACHE", "GOENV", "GOFLAGS", "GOMODCACHE", "GOPATH", "GOROOT", "GOTOOLCHAIN",
    "CONDA_*", "PIPENV_*", "POETRY_HOME", "PYENV_*", "PYTEST_*", "PYTHON*", "UV_CACHE_DIR", "VIRTUAL_ENV",
    "ANT_HOME", "GRADLE_HOME", "GRADLE_USER_HOME", "JAVA_HOME", "M2_HOME", "MAVEN_HOME", "MAVEN_OPTS",
    "COREPACK_HOME", "DENO_DIR", "NODE_ENV", "NODE_OPTIONS", "NODE_PATH", "NPM_CONFIG_CACHE",
    "NPM_CONFIG_PREFIX", "NVM_BIN", "NVM_DIR", "PNPM_HOME", "npm_config_cache", "npm_config_prefix",
    "BUNDLE_PATH", "GEM_HOME", "GEM_PATH", "RBENV_*", "RUBYLIB", "ANDROID_HOME", "DOTNET_ROOT",
    # who git says has written
    "EMAIL", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_NAME",
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_EXEC_PATH",
    "CI", "CLICOLOR", "FORCE_COLOR", "NO_COLOR",
)  # fmt: skip
"""What all commands have, if it is there; `*` stands for the rest of a name, but not for one of a secret."""


def allowed_variables(environment: Mapping[str, str], more: Sequence[str] = ()) -> dict[str, str]:
    """Return the variables that commands have.

    Args:
        environment: All variables of this process.
        more: Names that are allowed beside those of `ALWAYS`; `*` stands for the rest of a name.
    """
    found = {
        name: value
        for name, value in environment.items()
        if any(fnmatchcase(name, pattern) for pattern in more)
        or any(
            name == pattern or (fnmatchcase(name, pattern) and not is_secret_name(name)) for pattern in ALWAYS
        )
    }
    # There is no terminal: with another TERM, git would begin an editor and wait for somebody to write.
    return {**found, "TERM": "dumb"}
