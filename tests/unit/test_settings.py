"""Every wrong setting is named with what it should be, before anything starts."""

import pytest

from carina_tasks import environment
from carina_tasks.environment import PREFIX
from carina_tasks.errors import BadSetting
from carina_tasks.model.quantity import GIB
from carina_tasks.settings import FIELDS, load

WRONG = {
    "BROKER_URL": [
        "amqp://x",
        "localhost",
        "rediss://h:6379/0?ssl_cert_reqs=none",
        "redis://h:6379?db=1",
        "redis://h:1/0;redis://i:1/0",
        "sentinel://h:1;rediss://i:1",
        "redis://u:a;b@h:1/0",
        "redis://u:a#b@h:1/0",
        "redis://u:a/b@h:1/0",
        "redis://u:1/b@h:1/0",
        "redis://h:1/name",
        "redis://h:65536/0",
        "redis://[::1/0",
        "redis://:x@/0",
        "rediss://",
    ],
    "NODE_NAME": ["N1", "n1;x", "a/b"],
    "NODE_PROFILE": ["closed", "OPEN"],
    "LVM_TIMEOUT": ["0", "-1", "x", "nan", "inf", "1e9"],
    "HEARTBEAT_INTERVAL": ["0"],
    "HEARTBEAT_TTL": ["0"],
    "NODE_DEADLINE": ["0", "soon"],
    "ANSWER_LIMIT": ["1023", "16Mi"],
    "CONFIRM_ABSENCE": ["-1"],
    "NOT_READY_AFTER": ["-1"],
    "NOT_READY_WITNESSED": ["-1"],
    "NOT_READY_CORDONED": ["-1", "30m"],
    "LEASE_FRESH": ["-1"],
    "MASS_FAILURE_SHARE": ["-0.1", "1.1", "50%", "nan"],
    "ORPHAN_GRACE": ["-1"],
    "ORPHAN_MARK_AGE": ["-1"],
    "TRASH_RETENTION": ["-1", "2592001", "an hour"],
    "OLD_COPY_RETENTION": ["-1", "a day"],
    "RESTORE_HOLD": ["-1", "2592001"],
    "ORPHAN_LIMIT": ["-1", "1.5"],
    "ORPHAN_SHARE": ["2"],
    "LOGIC_VOLUME_GRACE": ["ten"],
    "MANAGED_GROUPS": ["*", "vg,*", "?*", "**", "[a-z]*", "[!x]*"],
    "RESERVE": ["-1", "10GB", "2Ei"],
    "BIND_TIMEOUT": ["0"],
    "TOUCH_INTERVAL": ["0"],
    "CONCURRENCY": ["0", "65"],
    "LOCK_TTL": ["0"],
    "NAMESPACE": ["", "a.b", "A"],
    "DOCS_URL": ["docs/", "ftp://docs.example.com", "javascript:alert(1)", "https://a b"],
    "API_TIMEOUT": ["0"],
    "PAGE_SIZE": ["0", "10001"],
    "WATCH_PUBLISH_INTERVAL": ["0"],
    "WATCH_STALE_AFTER": ["-1", "3601", "never"],
    "BROKER_CA": ["/etc/ca.pem"],
    "BROKER_CERTIFICATE": ["/etc/tls.crt"],
    "BROKER_KEY": ["/etc/tls.key"],
    "BROKER_KEY_PASSWORD": ["secret"],
    "BROKER_VERIFY": ["none", "authority", "no", "false"],
    "BROKER_MASTER_NAME": ["mymaster"],
    "SENTINEL_TLS": ["true", "perhaps"],
    "ZERO_BLOCK": ["maybe"],
    "ZERO_TIMEOUT": ["0"],
    "LOG_FORMAT": ["xml"],
    "LOG_LEVEL": ["loud"],
    "METRICS_PORT": ["-1", "65536", "http"],
    "ENROLMENT_URL": ["http://plain/v1/enrol", "https://", "host:8443"],
    "ENROLMENT_PORT": ["0", "65536", "https"],
    "ENROLMENT_BROKER_URL": ["redis://user:secret@r/0", "memory://", "redis://r?db=1"],
    "ENROLMENT_EPOCHS": ["", "one", "4,3,2,1"],
    "ENROLMENT_RATE": ["0", "601"],
    "NODE_CONNECTIONS": ["3", "1001"],
    "NODE_MEMORY": ["1Ki", "40MB"],
    "CUT_OFF_TIME": ["0", "soon"],
}
FREE = {
    "AUDIT_LOG",
    "LVM_COMMAND",
    "ZERO_COMMAND",
    "SENTINEL_USER",
    "SENTINEL_PASSWORD",
    "ENROLMENT_CA",
    "ENROLMENT_TOKEN_FILE",
    "ENROLMENT_CERTIFICATE",
    "ENROLMENT_PRIVATE_KEY",
    "ENROLMENT_MASTER_KEY",
    "ENROLMENT_AUDIENCE",
    "ENROLMENT_ACCOUNT",
}
"""Any text goes: a file, a Sentinel master's name, and a command line."""


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_setting_is_named_with_what_it_should_be(name, value):
    """The variable's own name stands in the message, and more than the name."""
    with pytest.raises(BadSetting) as caught:
        load({PREFIX + name: value})
    assert caught.value.message.startswith(f"{PREFIX}{name}: ")
    assert "docs/settings.md" in caught.value.message


def test_no_setting_is_left_out_here():
    """Every setting that can be wrong is in the table above."""
    assert WRONG.keys() | FREE == {name.upper() for name in FIELDS}


def test_all_wrong_ones_are_named_at_once():
    """All errors are reported at once."""
    with pytest.raises(BadSetting) as caught:
        load({PREFIX + "PAGE_SIZE": "0", PREFIX + "LOG_LEVEL": "loud"})
    assert "PAGE_SIZE" in caught.value.message
    assert "LOG_LEVEL" in caught.value.message


def test_an_unknown_setting_is_refused():
    """A typing error must not leave a guard at its default unnoticed."""
    with pytest.raises(BadSetting, match="no setting CARINA_TASKS_ORPHAN_LIMT"):
        load({PREFIX + "ORPHAN_LIMT": "1"})


def test_other_programs_variables_are_none_of_ours():
    """Only our prefix, NODE_NAME and KUBECONFIG mean anything."""
    assert load({"PATH": "/bin", "LVM_TIMEOUT": "x"}) == load({})


def test_the_defaults_are_the_designs():
    """The guards as the design's table has them."""
    conf = load({})
    assert (conf.confirm_absence, conf.not_ready_after, conf.not_ready_witnessed) == (10, 300, 600)
    assert (conf.mass_failure_share, conf.orphan_grace, conf.orphan_limit, conf.orphan_share) == (
        0.5,
        600,
        10,
        0.2,
    )
    assert (conf.logic_volume_grace, conf.reserve, conf.managed_groups) == (
        600,
        10 * GIB,
        ("carina-vg-*",),
    )


def test_good_values_are_taken():
    """Lists, quantities, names."""
    conf = load(
        {
            PREFIX + "MANAGED_GROUPS": "carina-*, vg2\nvg3",
            PREFIX + "RESERVE": "0",
            "NODE_NAME": "10.20.9.153",
        }
    )
    assert (conf.managed_groups, conf.reserve, conf.node_name) == (
        ("carina-*", "vg2", "vg3"),
        0,
        "10.20.9.153",
    )
    assert load({PREFIX + "NODE_NAME": "n2"}).node_name == "n2"
    assert load({PREFIX + "RESERVE": "1.5Gi"}).reserve == 3 * GIB // 2


def test_the_field_s_own_variable_is_named_when_it_is_wrong():
    """NODE_NAME, as the downward API sets it."""
    with pytest.raises(BadSetting, match=r"^NODE_NAME: 'N_1' is not a node name"):
        load({"NODE_NAME": "N_1"})


def test_the_processs_environment_is_the_default(monkeypatch):
    """load() reads the environment, load({...}) nothing but what it is given."""
    monkeypatch.setenv(PREFIX + "PAGE_SIZE", "7")
    assert load().page_size == 7
    assert load({}).page_size == 500
    monkeypatch.setenv("NODE_NAME", "N_1")
    with pytest.raises(BadSetting, match="NODE_NAME"):
        load()


def test_every_setting_says_what_it_is():
    """Each has a description that tells its default's reason or meaning."""
    for name, field in FIELDS.items():
        assert field.description, name
        assert "efault" in field.description, name


def test_settings_do_not_change():
    """Frozen: a task cannot change another's guards."""
    with pytest.raises(AttributeError, match="page_size"):
        load({}).page_size = 5


@pytest.mark.parametrize(
    "name", ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "CELERY_CONFIG_MODULE"]
)
def test_celerys_own_variables_are_refused(name):
    """Celery would follow them silently: another broker than the settings name."""
    with pytest.raises(BadSetting, match=name):
        environment.check_environment({name: "redis://elsewhere/0"})
    environment.check_environment({name: "", "PATH": "/bin"})


SENTINEL = {
    PREFIX + "BROKER_URL": "sentinel://:x@a:26379/0;sentinel://:x@[::1]:26379/0",
    PREFIX + "BROKER_MASTER_NAME": "mymaster",
}
TLS = {PREFIX + "BROKER_URL": "rediss://u:p%40ss@[::1]:6379/3\n"}
"""As `kubectl create secret --from-file` gives it to a process: with the end of its line."""


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        (TLS | {PREFIX + "BROKER_KEY": "/k"}, "BROKER_KEY: a key is of no use without"),
        (TLS | {PREFIX + "BROKER_KEY_PASSWORD": "x"}, "BROKER_KEY_PASSWORD: a key is of no use"),
        (TLS | {PREFIX + "SENTINEL_TLS": "true"}, "begin BROKER_URL with rediss://"),
        (SENTINEL | {PREFIX + "BROKER_CA": "/ca"}, "BROKER_CA: .* set SENTINEL_TLS=true"),
        (SENTINEL | {PREFIX + "BROKER_VERIFY": "none"}, "BROKER_VERIFY: it is for TLS"),
    ],
)
def test_settings_of_tls_go_together(environ, words):
    """What cannot work is refused, with what to set."""
    with pytest.raises(BadSetting, match=words):
        load(environ)


def test_tls_is_by_the_url_or_for_sentinel_by_a_setting():
    """Verified in full by default; the end of a line is no part of a URL."""
    assert not load({}).broker_tls
    assert not load(SENTINEL).broker_tls
    assert load(SENTINEL | {PREFIX + "SENTINEL_TLS": "true", PREFIX + "BROKER_CA": "/c"}).broker_tls
    conf = load(TLS | {PREFIX + "BROKER_CERTIFICATE": "/c", PREFIX + "BROKER_KEY": "/k"})
    assert (conf.broker_tls, conf.broker_verify) == (True, "full")
    assert conf.broker_url.endswith("/3")


@pytest.mark.parametrize("url", [u for u in WRONG["BROKER_URL"] if "@" in u])
def test_a_wrong_url_is_not_shown(url):
    """What was meant as a password may stand anywhere in it."""
    with pytest.raises(BadSetting) as caught:
        load({PREFIX + "BROKER_URL": url})
    assert url not in caught.value.message
    assert url.split("@")[0].removeprefix("redis://") not in caught.value.message
