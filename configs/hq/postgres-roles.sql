-- Who comes to the events' database: PostgreSQL 15 or newer for a fleet. Run it
-- once, as its owner, in an empty database; start one receiver, which makes the
-- tables; then run postgres-grants.sql.
--
--	createdb boothhq && psql -d boothhq -f postgres-roles.sql
--
-- The names are those of the certificates, so that each program has one for
-- broker, nodes and database (pg_hba.conf: hostssl boothhq all 10.0.0.0/8 cert).
-- Keep fsync, full_page_writes and synchronous_commit on: a receipt lets a booth
-- throw its copy away. A standby that may take over belongs in
-- synchronous_standby_names for the same reason; without it booths send again
-- what it lacks, as long as they keep it (store.retain, seven days by default).

-- All receivers are one owner of the tables, by whichever name they come.
CREATE ROLE hq_receiver NOLOGIN;
CREATE ROLE "HQ-receiver" LOGIN IN ROLE hq_receiver;
CREATE ROLE "HQ-receiver-2" LOGIN IN ROLE hq_receiver;
CREATE ROLE "HQ-receiver-3" LOGIN IN ROLE hq_receiver;
ALTER ROLE "HQ-receiver" SET role = 'hq_receiver';
ALTER ROLE "HQ-receiver-2" SET role = 'hq_receiver';
ALTER ROLE "HQ-receiver-3" SET role = 'hq_receiver';
GRANT USAGE, CREATE ON SCHEMA public TO hq_receiver;

-- The watch desk, the board, and who exports and reports.
CREATE ROLE "HQ-desk" LOGIN;
CREATE ROLE "HQ-board" LOGIN;
CREATE ROLE "HQ-report" LOGIN;
GRANT USAGE ON SCHEMA public TO "HQ-desk", "HQ-board", "HQ-report";
