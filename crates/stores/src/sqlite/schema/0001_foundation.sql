-- Ids are UUIDs of 16 bytes, times are milliseconds since 1970 in UTC, JSON is kept as text.

-- Small facts about the store itself.
CREATE TABLE fact (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE user (
    seq               INTEGER PRIMARY KEY,
    id                BLOB NOT NULL,
    email             TEXT NOT NULL,
    email_folded      TEXT NOT NULL,
    username          TEXT NOT NULL,
    username_folded   TEXT NOT NULL,
    role              TEXT NOT NULL,
    is_active         INTEGER NOT NULL,
    is_email_verified INTEGER NOT NULL,
    last_login        INTEGER,
    metadata          TEXT,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    password_hash     TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX user_by_id ON user (id);
CREATE UNIQUE INDEX user_by_email ON user (email_folded);
CREATE UNIQUE INDEX user_by_username ON user (username_folded);
CREATE INDEX user_by_standing ON user (role, is_active, id);
CREATE INDEX user_by_role ON user (role, id);
CREATE INDEX user_by_role_and_email ON user (role, email_folded, id);
CREATE INDEX user_by_role_and_username ON user (role, username_folded, id);
CREATE INDEX user_by_activity ON user (is_active, id);
CREATE INDEX user_by_activity_and_email ON user (is_active, email_folded, id);
CREATE INDEX user_by_activity_and_username ON user (is_active, username_folded, id);
CREATE INDEX user_by_creation ON user (created_at);
-- Holds all that a search for a part of an address or name looks at.
CREATE INDEX user_by_names ON user (id, email_folded, username_folded, role, is_active);

-- Which accounts did something on which day (the day's first millisecond).
CREATE TABLE user_activity (
    day     INTEGER NOT NULL,
    user_id BLOB NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    PRIMARY KEY (day, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_activity_by_user ON user_activity (user_id);

CREATE TABLE session (
    id            BLOB NOT NULL PRIMARY KEY,
    user_id       BLOB NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    refresh_token BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_user ON session (user_id, created_at, id);
CREATE INDEX session_by_end ON session (expires_at);

CREATE TABLE sign_in_failure (
    email   TEXT NOT NULL PRIMARY KEY,
    count   INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_failure_by_age ON sign_in_failure (last_at);

CREATE TABLE security_event (
    id         BLOB NOT NULL PRIMARY KEY,
    user_id    BLOB NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    ip_address TEXT,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX security_event_by_user ON security_event (user_id, id);

CREATE TABLE api_key (
    id           BLOB NOT NULL PRIMARY KEY,
    user_id      BLOB NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    hash         BLOB NOT NULL,
    scopes       TEXT NOT NULL,
    is_active    INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    usage_count  INTEGER NOT NULL,
    rate_limit   INTEGER,
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX api_key_by_prefix ON api_key (prefix);
CREATE INDEX api_key_by_user ON api_key (user_id, id);
CREATE INDEX api_key_by_name ON api_key (user_id, name, id);

-- What executions have in common, so that each row and index entry holds a small number in its place;
-- with how many there are, so that totals and statistics are sums and not scans.
CREATE TABLE call_series (
    id             INTEGER PRIMARY KEY,
    plugin         TEXT NOT NULL,
    action         TEXT NOT NULL,
    source         TEXT NOT NULL,
    status         TEXT NOT NULL,
    calls          INTEGER NOT NULL DEFAULT 0,
    total_micros   INTEGER NOT NULL DEFAULT 0,
    last_called_at INTEGER
) STRICT;
CREATE UNIQUE INDEX call_series_by_content ON call_series (plugin, action, source, status);

CREATE TABLE user_call_count (
    user_id        BLOB NOT NULL,
    series         INTEGER NOT NULL,
    calls          INTEGER NOT NULL,
    total_micros   INTEGER NOT NULL,
    last_called_at INTEGER,
    PRIMARY KEY (user_id, series)
) STRICT, WITHOUT ROWID;

-- The account is no foreign key: the history outlives it.
CREATE TABLE execution (
    seq             INTEGER PRIMARY KEY,
    id              BLOB NOT NULL,
    series          INTEGER NOT NULL,
    user_id         BLOB,
    task_id         BLOB,
    created_at      INTEGER NOT NULL,
    duration_micros INTEGER NOT NULL,
    ip_address      TEXT,
    user_agent      TEXT,
    error_code      TEXT,
    error_message   TEXT,
    payload         TEXT NOT NULL,
    result          TEXT
) STRICT;
CREATE UNIQUE INDEX execution_by_id ON execution (id);
CREATE INDEX execution_by_user ON execution (user_id, id, series) WHERE user_id IS NOT NULL;
CREATE INDEX execution_by_series ON execution (series, id);

CREATE TABLE idempotency_claim (
    key        BLOB NOT NULL,
    request    BLOB NOT NULL,
    answer     BLOB,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX idempotency_claim_by_key ON idempotency_claim (key);
CREATE INDEX idempotency_claim_by_end ON idempotency_claim (expires_at);
