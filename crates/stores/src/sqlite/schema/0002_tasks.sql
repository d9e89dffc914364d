-- Which try of its task a call was.
ALTER TABLE execution ADD COLUMN attempt INTEGER;
CREATE INDEX execution_by_task ON execution (task_id, id) WHERE task_id IS NOT NULL;

-- What many tasks have in common, so that rows and index entries hold a small number in its place.
CREATE TABLE task_lane (
    id     INTEGER PRIMARY KEY,
    plugin TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX task_lane_by_plugin ON task_lane (plugin);

-- status: 0 pending, 1 in progress, 2 completed, 3 failed, 4 cancelled; priority: 0 low to 3 critical.
-- kind: 0 to-do, 1 job, 2 recurring. queue: where a job stands that hasn't ended: 0 held by a worker, 1 ready for
-- one, 2 waiting for its time, 3 waiting for other tasks; NULL for everything else.
-- The account is no foreign key: what was done outlives it.
CREATE TABLE task (
    seq           INTEGER PRIMARY KEY,
    id            BLOB NOT NULL,
    user_id       BLOB,
    kind          INTEGER NOT NULL,
    status        INTEGER NOT NULL,
    -- 1 until it has ended, then its status: what indexes hold in place of the status, so that a claim leaves them be.
    stage         INTEGER NOT NULL,
    priority      INTEGER NOT NULL,
    queue         INTEGER,
    lane          INTEGER,
    -- Its place among the ready tasks of its priority; owners take turns.
    turn          INTEGER,
    due_at        INTEGER NOT NULL,
    ready_at      INTEGER,
    attempt       INTEGER NOT NULL,
    retry_count   INTEGER NOT NULL,
    max_retries   INTEGER NOT NULL,
    stall_count   INTEGER NOT NULL,
    max_stalls    INTEGER NOT NULL,
    unmet         INTEGER NOT NULL,
    worker        BLOB,
    lease_until   INTEGER,
    started_at    INTEGER,
    finished_at   INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    scheduled_at  INTEGER,
    timeout_ms    INTEGER,
    schedule_id   BLOB,
    -- The call that its result is read from.
    execution_id  BLOB,
    error_code    TEXT,
    error_message TEXT,
    progress      TEXT,
    unique_key    TEXT,
    title         TEXT NOT NULL,
    description   TEXT,
    tags          TEXT,
    action        TEXT,
    payload       TEXT
) STRICT;
CREATE UNIQUE INDEX task_by_id ON task (id);
CREATE INDEX task_by_user ON task (user_id, stage, id);
CREATE INDEX task_by_stage ON task (stage, id) WHERE stage <> 2;
CREATE INDEX task_held ON task (id) WHERE queue = 0;
CREATE INDEX task_begun_by_hand ON task (id) WHERE kind = 0 AND status = 1;
CREATE INDEX task_ready ON task (priority, lane, turn) WHERE queue = 1;
CREATE INDEX task_due ON task (priority, due_at) WHERE queue = 2;
CREATE INDEX task_blocked ON task (id) WHERE queue = 3;
CREATE INDEX task_by_end ON task (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX task_by_schedule ON task (schedule_id, id) WHERE schedule_id IS NOT NULL;
CREATE INDEX task_by_time ON task (scheduled_at) WHERE scheduled_at IS NOT NULL;
CREATE UNIQUE INDEX task_unique_key ON task (coalesce(user_id, x''), unique_key)
    WHERE unique_key IS NOT NULL AND stage = 1;

-- How many tasks there are of each sort; the operator's have an empty user_id, to-dos the lane 0.
CREATE TABLE task_count (
    user_id  BLOB NOT NULL,
    status   INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (user_id, status, priority, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE recurrence (
    task_id   BLOB NOT NULL PRIMARY KEY,
    cron      TEXT NOT NULL,
    timezone  TEXT NOT NULL,
    catch_up  TEXT NOT NULL,
    is_paused INTEGER NOT NULL,
    next_at   INTEGER,
    last_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX recurrence_by_next ON recurrence (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE task_dependency (
    task_id    BLOB NOT NULL,
    position   INTEGER NOT NULL,
    depends_on BLOB NOT NULL,
    -- Whether the task was told what became of the other.
    is_told    INTEGER NOT NULL,
    PRIMARY KEY (task_id, position)
) STRICT, WITHOUT ROWID;
-- Holds those told too: a pending task may still refer to the result of one that completed.
CREATE INDEX task_dependency_by_other ON task_dependency (depends_on, is_told, task_id);

-- Tasks that ended and on which others depend that weren't told yet.
CREATE TABLE task_settlement (
    task_id BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
