-- The three roles of Sealkeeper on PostgreSQL. Run as a superuser: psql -d sealkeeper -f postgresql-roles.sql
--   sealkeeper_owner  owns the tables and runs `sealkeeper db upgrade`; nothing else logs in as it
--   sealkeeper        the server and the worker
--   sealkeeper_ocsp   the responder: two views, and only to read
-- Set passwords with \password, or use certificates; keep them in ~/.pgpass of each user.
CREATE ROLE sealkeeper_owner LOGIN;
CREATE ROLE sealkeeper LOGIN;
CREATE ROLE sealkeeper_ocsp LOGIN;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO sealkeeper_owner;
GRANT USAGE ON SCHEMA public TO sealkeeper, sealkeeper_ocsp;

-- Nothing is ever deleted but nonces, limits, failure counts and finished validations of ACME, which a migration allows; guards in the tables refuse to change what was logged or issued, whoever asks.
ALTER DEFAULT PRIVILEGES FOR ROLE sealkeeper_owner GRANT SELECT, INSERT, UPDATE ON TABLES TO sealkeeper;
ALTER DEFAULT PRIVILEGES FOR ROLE sealkeeper_owner GRANT USAGE ON SEQUENCES TO sealkeeper;
