-- Reload the configuration until the setting :setting has :value in this session;
-- the caller has set it by ALTER SYSTEM.
SELECT pg_reload_conf() \gset
SELECT current_setting(:'setting') = :'value' AS reloaded \gset
\if :reloaded
\else
SELECT pg_sleep(0.02) \gset
\i test/sql/include/reload.sql
\endif
