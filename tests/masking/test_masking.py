"""Secrets are masked by where they stand, by their shape, and wherever else a known one turns up."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coagent.masking.mask import COMMON, Mask
from coagent.masking.names import is_secret_key, is_secret_name, is_secret_path
from coagent.masking.spans import MASK, masked_text
from coagent.masking.values import masked

# Made of parts, so that nothing takes this file for one that holds real tokens.
GITHUB = "ghp_" + "a1B2" * 9
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"

SECRET = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=6, max_size=30)
HOSTILE = st.lists(
    st.sampled_from(
        [
            "password",
            "token",
            ": ",
            "=",
            '"',
            "'",
            "\\",
            "\n",
            "  ",
            "{",
            "}",
            "[",
            "]",
            MASK,
            "kind: Secret\n",
            "stringData",
            "data:",
            "://",
            "a:b@",
            "-----BEGIN A-----",
            "-----END A-----",
            "Bearer ",
            GITHUB,
            JWT,
            "…",
            "hunter2-hunter2",
            "--api-key ",
            "name: DB_PASSWORD",
            "value: ",
            "insert into a (password)",
            "x",
        ]
    ),
    max_size=25,
).map("".join)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | HOSTILE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["password", "kind", "data", "name", "value", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "dbPassword",
        "DB_PASSWORD",
        "PGPASSWORD",
        "client-secret",
        "apiKey",
        "API_KEY",
        "x-api-key",
        "authorization",
        "Authorization",
        "private_key",
        "credentials",
        "access_token",
        "awsSecretAccessKey",
        "connectionString",
        "stringData",
        "AccountKey",
        "auth_tokens",
        "passphrase",
        "Set-Cookie",
        "secret_id",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "secretName",
        "secretKeyRef",
        "token_count",
        "max_tokens",
        "input_tokens",
        "password_file",
        "token_env",
        "author",
        "keyboard",
        "key",
        "name",
        "tokenizer_type",
        "authority",
        "monkey",
        "",
        "path",
        "passed",
    ],
)
def test_names_that_only_tell_of_secrets_or_of_something_else(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "app/.env.local",
        "prod.env",
        "server.pem",
        "tls/server.key",
        "home/.ssh/id_rsa",
        ".ssh/deploy",
        ".netrc",
        ".npmrc",
        ".pypirc",
        "kubeconfig",
        ".kube/config",
        "ci/staging.kubeconfig",
        ".aws/credentials",
        "id_ed25519",
        "config/secrets.yaml",
        ".docker/config.json",
    ],
)
def test_files_of_secrets(path: str) -> None:
    assert is_secret_path(path)
    assert is_secret_key(f"file:{path}")


@pytest.mark.parametrize(
    "path",
    [
        "src/token.py",
        "environment.py",
        "id_rsa.pub",
        ".ssh/known_hosts",
        "config",
        "docs/secrets.md",
        "keys.py",
    ],
)
def test_files_of_no_secrets(path: str) -> None:
    assert not is_secret_path(path)
    assert not is_secret_key(f"file:{path}")


def test_objects_that_are_secrets_as_a_whole() -> None:
    for key in ("k8s:default/secrets/db", "kv:db/password", "vault:secret/app"):
        assert is_secret_key(key)
    for key in ("k8s:default/deployments/token-service", "sql:tokens/3", "kv:x", "doc:plan.md#API token"):
        assert not is_secret_key(key)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("set(password='hunter2', y=1)", f"set(password={MASK}, y=1)"),
        ('{"password":"hunter2","user":"bob"}', f'{{"password":{MASK},"user":"bob"}}'),
        ('{"password": 1234, "user": "bob"}', f'{{"password": {MASK}, "user": "bob"}}'),
        (
            r'{"a": "{\"password\":\"hunter2\",\"u\":\"b\"}"}',
            rf'{{"a": "{{\"password\":{MASK},\"u\":\"b\"}}"}}',
        ),
        ("password: correct horse battery\nuser: bob", f"password: {MASK}\nuser: bob"),
        ("password: |\n  one\n  two\nuser: bob", f"password: {MASK}\nuser: bob"),
        ("it's password: it's secret", f"it's password: {MASK}"),
        ("export API_KEY=abc make", f"export API_KEY={MASK} make"),
        ('PASSWORD=ab" cd" next', f"PASSWORD={MASK} next"),
        ('"token=abc" next', f'"token={MASK}" next'),
        ("--password hunter2 --verbose", f"--password {MASK} --verbose"),
        (
            "kubectl create secret generic db --from-literal=a=b -n x",
            f"kubectl create secret generic db --from-literal=a={MASK} -n x",
        ),
        ("curl -u bob:pw1 http://h", f"curl -u bob:{MASK} http://h"),
        (
            'curl -H "Authorization: Bearer abc123def" https://x/y',
            f'curl -H "Authorization: {MASK}" https://x/y',
        ),
        ("sent Bearer abc123def to x", f"sent Bearer {MASK} to x"),
        ("postgres://u:p/a@ss@h/db", f"postgres://u:{MASK}@h/db"),
        (f"git clone https://{GITHUB}@github.com/a/b", f"git clone https://{MASK}@github.com/a/b"),
        (f"x {GITHUB} y", f"x {MASK} y"),
        (f"x {JWT} y", f"x {MASK} y"),
        ("sk-" + "ant-" + "a1B2" * 6, MASK),
        ("xoxb" + "-123456789012" + "-abcdefABCDEF", MASK),
        ("key " + "AKIA" + "A1B2" * 4, f"key {MASK}"),
        (
            f"before\n{PEM}\nafter",
            f"before\n-----BEGIN RSA PRIVATE KEY-----{MASK}-----END RSA PRIVATE KEY-----\nafter",
        ),
        (repr(PEM), f"'-----BEGIN RSA PRIVATE KEY-----{MASK}-----END RSA PRIVATE KEY-----'"),
        ("ALTER USER x PASSWORD 'a''b' VALID", f"ALTER USER x PASSWORD {MASK} VALID"),
        (
            "insert into users (name, password) values ('bob','pw'); select 1",
            f"insert into users (name, password){MASK}; select 1",
        ),
        (
            "kind: Secret\ndata:\n  a: b\n  c: |\n    d\ntype: Opaque\n",
            f"kind: Secret\ndata:\n  a: {MASK}\n  c: {MASK}\n    {MASK}\ntype: Opaque\n",
        ),
        (
            'kubectl patch -p \'{"stringData":{"foo":"bar"}}\'',
            f"kubectl patch -p '{{\"stringData\":{MASK}}}'",
        ),
        (
            "- name: DB_PASSWORD\n  value: pw\n- name: X\n  value: 1",
            f"- name: DB_PASSWORD\n  value: {MASK}\n- name: X\n  value: 1",
        ),
        ("/data/password: abc -> def", f"/data/password: {MASK}"),
    ],
)
def test_secrets_in_texts(text: str, shown: str) -> None:
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "read_file(path='src/token.py') wrote file:src/token.py",
        "kind: ConfigMap\ndata:\n  a: b\n",
        "http://127.0.0.1:8411/v1",
        "docker run -u 1000:1000 x",
        "git@github.com:a/b.git",
        "ssh://git@host/x",
        "basic authentication is off",
        "max_tokens=100 secretName: db",
        "3 tokens: 12",
        "a1b2c3d4e5f6" * 4,
        "https://registry:4873/@scope/package",
        "risk-assessment-of-everything-here",
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    assert masked_text(text) == text


def test_values_are_masked_by_their_names() -> None:
    assert masked({"user": "bob", "login": {"password": "x", "pin": 1}, "token": 12345}) == {
        "user": "bob",
        "login": {"password": MASK, "pin": 1},
        "token": MASK,
    }
    assert masked({"env": [{"name": "DB_PASSWORD", "value": "x"}, {"name": "A", "value": "b"}]}) == {
        "env": [{"name": "DB_PASSWORD", "value": MASK}, {"name": "A", "value": "b"}]
    }
    assert masked([{"op": "add", "path": "/data/password", "value": "x"}])[0]["value"] == MASK
    assert masked('{"token": "abc", "x": 1}') == f'{{"token": "{MASK}", "x": 1}}'
    assert masked({"input_tokens": 12, "volume": {"secret": {"secretName": "x"}}}) == {
        "input_tokens": 12,
        "volume": {"secret": {"secretName": "x"}},
    }
    assert masked(b"abc") == "3 bytes"
    assert masked("anything", "file:.env") == MASK


def test_a_secret_of_kubernetes_is_shown_without_what_it_holds() -> None:
    secret = {
        "kind": "Secret",
        "metadata": {
            "name": "db",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"a":"b"}}'},
        },
        "data": {"user": "YWRtaW4="},
        "type": "Opaque",
    }
    shown = masked(secret, "k8s:default/secrets/db")
    assert shown == masked(secret)
    assert shown["data"] == {"user": MASK}
    assert shown["metadata"]["name"] == "db"
    assert list(shown["metadata"]["annotations"].values()) == [MASK]


def test_arguments_of_calls_about_secrets_show_only_what_names_the_object() -> None:
    mask = Mask()
    assert mask.arguments({"path": "app/.env", "content": "A=b\n"}) == {"path": "app/.env", "content": MASK}
    patch = {"kind": "secret", "name": "db", "patch": {"metadata": {"labels": {"a": "b"}}}}
    assert mask.arguments(patch)["patch"] == {"metadata": {"labels": {"a": MASK}}}
    assert mask.arguments({"command": "echo A=b > .env"}) == {"command": MASK}
    assert mask.arguments({"command": "./setup --pin abc"}, written=["file:.env"]) == {"command": MASK}
    readme = {"path": "README.md", "content": "put it into .env\n"}
    assert mask.arguments(readme) == readme


def test_a_learned_secret_is_masked_wherever_it_stands() -> None:
    mask = Mask()
    mask.learn({"kind": "Secret", "data": {"a": base64.b64encode(b"super secret value").decode()}})
    for text in (
        "error: 'super secret value' is not right",
        f"got {base64.b64encode(b'super secret value').decode()}",
        "cut: super secr…",
        f"https://x/?q={quote('super secret value')}",
    ):
        assert "super" not in mask.text(text)
        assert "c3VwZXI" not in mask.text(text)
    assert mask.text("a super idea") == "a super idea"


def test_lines_of_a_learned_file_are_masked_and_its_ordinary_words_stay() -> None:
    mask = Mask()
    mask.learn(
        "# settings of the application\nDEBUG=true\nAPI_KEY='abc123'\nURL=https://example.org/x\n",
        "file:.env",
    )
    shown = mask.text("abc123 true https://example.org/x of the application, DEBUG")
    assert shown == f"{MASK} true {MASK} of the application, DEBUG"


def test_short_secrets_are_masked_as_words_only() -> None:
    mask = Mask()
    mask.learn({"password": "geheim"})
    assert mask.text("geheim, geheimnis") == f"{MASK}, geheimnis"


def test_secrets_of_the_environment_are_learned() -> None:
    mask = Mask()
    mask.learn_environment({"MY_API_KEY": "abcdef123", "HOME": "/home/someone", "PWD": "/home/someone/work"})
    assert mask.text("abcdef123 /home/someone/work") == f"{MASK} /home/someone/work"


def test_a_value_is_masked_before_it_is_cut() -> None:
    assert Mask().brief(f"{'x' * 190} {GITHUB}", 200).startswith(f"{'x' * 190} {MASK}"[:199])
    assert "ghp_" not in Mask().brief(f"{'x' * 195} {GITHUB}", 200)
    assert Mask().brief({"password": "x"}) == f"{{'password': '{MASK}'}}"


@given(HOSTILE)
def test_masking_a_text_again_changes_nothing(text: str) -> None:
    shown = masked_text(text)
    assert masked_text(shown) == shown
    mask = Mask()
    mask.learn({"password": "hunter2-hunter2"})
    mask.learn({"password": "masked]"})
    shown = mask.text(text)
    assert mask.text(shown) == shown
    assert "hunter2-hunter2" not in shown
    assert GITHUB not in shown


@given(DATA)
def test_masking_a_value_again_changes_nothing(value: Any) -> None:
    mask = Mask()
    mask.learn(value)
    shown = mask.value(value)
    assert mask.value(shown) == shown
    assert GITHUB not in json.dumps(shown)


@given(SECRET, st.sampled_from(["password", "apiKey", "AUTH_TOKEN", "client_secret"]))
def test_no_shape_of_text_or_data_shows_what_is_under_the_name_of_a_secret(secret: str, name: str) -> None:
    plain = "".join(one for one in secret if one.isalnum())
    assume(len(plain) >= 6)
    data = {"a": [{name: secret}], "b": json.dumps({name: [secret]})}
    shapes = [
        json.dumps({name: secret}),
        json.dumps(json.dumps({name: secret})),
        repr({name: secret}),
        f"{name}: {secret}\n",
        f"{name} = {secret}\n",
        f"{name}={plain} x",
        f"--{name} {plain} x",
        f"https://user:{plain}@host/",
        f"f({name}={secret!r})",
    ]
    shown = [masked_text(shape) for shape in shapes]
    everything = json.dumps([shown, masked(data)], ensure_ascii=False)
    around = f"{name} a b x f user host https MASK {MASK} masked"
    assume(secret not in around)
    assume(plain not in around)
    assert secret not in everything
    assert plain not in everything


@given(SECRET)
def test_a_learned_secret_is_shown_in_no_form(secret: str) -> None:
    assume(sum(one.isalnum() for one in secret) >= 6)
    assume(secret == secret.strip().strip("\"'`\\").strip())
    assume(secret not in MASK)
    assume(secret.lower() not in COMMON)
    mask = Mask()
    mask.learn({"password": secret})
    data = secret.encode()
    for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], base64.b64encode(data).decode()):
        assert form not in mask.text(f"before {form} after")


@pytest.mark.parametrize(
    "part",
    [
        "token=",
        "password: a\n",
        "{",
        "[{'",
        "-----BEGIN A-----",
        "-eyJaaaaaaaa",
        "://",
        "a.b-",
        "'\"`",
        '\\"',
        '--token "',
        "bearer ",
        "insert into a(password",
        "name: x" + " " * 100,
        "token='\\",
        "kind: Secret\ndata:{",
    ],
)
def test_no_text_takes_long_to_mask(part: str) -> None:
    text = (part * (200_000 // len(part) + 1))[:200_000]
    started = time.process_time()
    masked_text(text)
    assert time.process_time() - started < 10
