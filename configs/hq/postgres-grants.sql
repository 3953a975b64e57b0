-- What each may do (see postgres-roles.sql). Run it once the first receiver has
-- made the tables, and again after a version that makes others.
--
--	psql -d boothhq -f postgres-grants.sql

-- The board sees how booths are, and no event of any traveller.
GRANT SELECT ON schema_version, booth, epoch, gone, state, presence TO "HQ-board";
GRANT SELECT (epoch) ON reject TO "HQ-board";

-- The desk sees hits and says what became of them; what was said stays.
GRANT SELECT ON schema_version, booth, hit, act TO "HQ-desk";
GRANT INSERT ON act TO "HQ-desk";

-- Reports and exports read events.
GRANT SELECT ON schema_version, booth, epoch, event, reject, gone TO "HQ-report";
