CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE provider (issuer TEXT PRIMARY KEY, metadata TEXT NOT NULL) STRICT;

CREATE TABLE registration (
    issuer        TEXT NOT NULL,
    client_id     TEXT NOT NULL,
    client_secret BLOB,
    auth_method   TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    source        TEXT NOT NULL,
    refused       INTEGER, -- when the provider last refused it
    PRIMARY KEY (issuer, client_id)
) STRICT;

CREATE TABLE connection (
    name      TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    url       TEXT NOT NULL,
    resource  TEXT,
    issuer    TEXT NOT NULL,
    issuer_given INTEGER NOT NULL,
    internal  INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    scope     TEXT,
    grant_id  TEXT,
    created   INTEGER NOT NULL
) STRICT;

-- Lineage, generation, lifecycle and claim are four things, never one state word.
CREATE TABLE grant_family (
    id              TEXT PRIMARY KEY,
    issuer          TEXT NOT NULL,
    client_id       TEXT NOT NULL,
    lineage         INTEGER NOT NULL,
    generation      INTEGER NOT NULL,
    lifecycle       TEXT NOT NULL,
    reason          TEXT,
    lifecycle_since INTEGER,
    refresh_token   BLOB,
    refresh_generation INTEGER,
    refresh_expires INTEGER,
    claim_attempt   TEXT,
    claim_number    INTEGER,
    claim_owner     TEXT,
    claim_since     TEXT,
    claim_unknown   TEXT,
    claim_unknown_since TEXT
) STRICT;

-- Access tokens are a grant's children, keyed by scope and resource ('' is the grant's own).
CREATE TABLE access_token (
    grant_id        TEXT NOT NULL,
    scope_key       TEXT NOT NULL,
    resource_key    TEXT NOT NULL,
    secret          BLOB NOT NULL,
    lineage         INTEGER NOT NULL,
    generation      INTEGER NOT NULL,
    issued          TEXT NOT NULL,
    lifetime        INTEGER NOT NULL,
    lifetime_source TEXT NOT NULL,
    scope           TEXT,
    resource        TEXT,
    after_rejection INTEGER NOT NULL,
    PRIMARY KEY (grant_id, scope_key, resource_key)
) STRICT;

CREATE TABLE trouble (
    id         TEXT PRIMARY KEY,
    connection TEXT NOT NULL,
    lineage    INTEGER NOT NULL,
    event      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    record     TEXT NOT NULL,
    notified   INTEGER,
    ended      INTEGER
) STRICT;
CREATE UNIQUE INDEX trouble_once ON trouble (connection, lineage, event, reason) WHERE ended IS NULL;

-- What happened, appended only.
CREATE TABLE audit (at INTEGER NOT NULL, record TEXT NOT NULL) STRICT;

CREATE TABLE task (
    id      TEXT PRIMARY KEY,
    process TEXT NOT NULL,
    began   INTEGER NOT NULL,
    ended   INTEGER,
    code    INTEGER
) STRICT;

CREATE TABLE failed_call (
    task        TEXT NOT NULL,
    connection  TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    reason      TEXT NOT NULL,
    times       INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    recovered   INTEGER,
    PRIMARY KEY (task, connection, fingerprint)
) STRICT;
