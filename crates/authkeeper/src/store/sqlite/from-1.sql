-- From the first format: endpoints by client, several secrets of one client, every kind of grant.
ALTER TABLE provider RENAME TO provider_1;
CREATE TABLE provider (
    issuer    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    metadata  TEXT NOT NULL,
    PRIMARY KEY (issuer, client_id)
) STRICT;
INSERT INTO provider SELECT p.issuer, r.client_id, p.metadata
    FROM provider_1 p JOIN registration r ON r.issuer = p.issuer;
DROP TABLE provider_1;

CREATE TABLE client_secret (
    id        INTEGER PRIMARY KEY,
    issuer    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    secret    BLOB NOT NULL,
    refused   INTEGER,
    expires   INTEGER
) STRICT;
CREATE INDEX client_secret_of ON client_secret (issuer, client_id);
INSERT INTO client_secret (issuer, client_id, secret)
    SELECT issuer, client_id, client_secret FROM registration WHERE client_secret IS NOT NULL;
ALTER TABLE registration DROP COLUMN client_secret;
ALTER TABLE registration ADD COLUMN private_key BLOB;
ALTER TABLE registration ADD COLUMN key_id TEXT;
ALTER TABLE registration ADD COLUMN grant_types TEXT NOT NULL DEFAULT '';
UPDATE registration SET grant_types = 'authorization_code' WHERE source = 'dynamic';

ALTER TABLE connection ADD COLUMN provider TEXT;
ALTER TABLE connection ADD COLUMN presentation TEXT NOT NULL DEFAULT 'authorization: Bearer';
ALTER TABLE connection ADD COLUMN check_url TEXT;

ALTER TABLE grant_family ADD COLUMN grant_type TEXT NOT NULL DEFAULT 'authorization_code';
ALTER TABLE grant_family ADD COLUMN refresh_mark BLOB;
ALTER TABLE grant_family ADD COLUMN first_mark BLOB;
ALTER TABLE grant_family ADD COLUMN standby_key BLOB;
ALTER TABLE grant_family ADD COLUMN standby_generation INTEGER;
ALTER TABLE grant_family ADD COLUMN standby_until INTEGER;
ALTER TABLE grant_family ADD COLUMN standby_refused INTEGER;
ALTER TABLE grant_family ADD COLUMN rotate_by INTEGER;
ALTER TABLE grant_family ADD COLUMN probed INTEGER;
ALTER TABLE grant_family ADD COLUMN suspects INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grant_family ADD COLUMN mandate TEXT;
ALTER TABLE grant_family ADD COLUMN means BLOB;
ALTER TABLE access_token ADD COLUMN refresh_in INTEGER;

CREATE TABLE pending_sign_in (
    name   TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    ends   INTEGER NOT NULL
) STRICT;
