CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- What a client of ours was told of its issuer: one client's word never changes where another's tokens are sent.
CREATE TABLE provider (
    issuer    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    metadata  TEXT NOT NULL,
    PRIMARY KEY (issuer, client_id)
) STRICT;

CREATE TABLE registration (
    issuer        TEXT NOT NULL,
    client_id     TEXT NOT NULL,
    private_key   BLOB,
    key_id        TEXT,
    auth_method   TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    source        TEXT NOT NULL,
    grant_types   TEXT NOT NULL DEFAULT '',
    refused       INTEGER, -- when the provider last refused it
    PRIMARY KEY (issuer, client_id)
) STRICT;

-- A client's secrets; the one that came last is tried first.
CREATE TABLE client_secret (
    id        INTEGER PRIMARY KEY,
    issuer    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    secret    BLOB NOT NULL,
    refused   INTEGER, -- when the provider last refused it
    expires   INTEGER
) STRICT;
CREATE INDEX client_secret_of ON client_secret (issuer, client_id);

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
    provider  TEXT,
    presentation TEXT NOT NULL DEFAULT 'authorization: Bearer',
    check_url TEXT,
    grant_id  TEXT,
    created   INTEGER NOT NULL
) STRICT;

-- Lineage, generation, lifecycle and claim are four things, never one state word. Marks have no index: a sign-in looks
-- through one machine's grants, and the schema has to fit the file's first page.
CREATE TABLE grant_family (
    id              TEXT PRIMARY KEY,
    issuer          TEXT NOT NULL,
    client_id       TEXT NOT NULL,
    grant_type      TEXT NOT NULL DEFAULT 'authorization_code',
    lineage         INTEGER NOT NULL,
    generation      INTEGER NOT NULL,
    lifecycle       TEXT NOT NULL,
    reason          TEXT,
    lifecycle_since INTEGER,
    refresh_token   BLOB,
    refresh_generation INTEGER,
    refresh_expires INTEGER,
    refresh_mark    BLOB, -- a keyed hash: the same token imported twice is one grant
    first_mark      BLOB, -- of the refresh token that the last sign-in or import brought
    standby_key     BLOB, -- API keys: the one before, good until its overlap ends
    standby_generation INTEGER,
    standby_until   INTEGER,
    standby_refused INTEGER,
    rotate_by       INTEGER,
    probed          INTEGER, -- when a refused refresh token was last tried again
    suspects        INTEGER NOT NULL DEFAULT 0, -- refusals in a row without an OAuth code
    mandate         TEXT, -- whose it is and for what, as far as its tokens showed it
    means           BLOB, -- what it needs beside its tokens
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
    refresh_in      INTEGER,
    PRIMARY KEY (grant_id, scope_key, resource_key)
) STRICT;

-- A sign-in that a person is at: it goes on where it was if the process that began it is gone.
CREATE TABLE pending_sign_in (
    name   TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    ends   INTEGER NOT NULL
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
