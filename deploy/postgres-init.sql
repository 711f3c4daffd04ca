-- Runs once, as the superuser, when the data folder is new. The catalog's role owns its database and nothing else.
\set password `cat "${CATALOG_PASSWORD_FILE:?}"`
CREATE ROLE spresso LOGIN PASSWORD :'password';
CREATE DATABASE spresso OWNER spresso ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT, TEMPORARY ON DATABASE spresso FROM PUBLIC;
\connect spresso
CREATE EXTENSION IF NOT EXISTS pg_trgm;
