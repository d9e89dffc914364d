-- What a task asked last and what came back, as JSON; until it has ended.
ALTER TABLE task ADD COLUMN inquiry TEXT;

-- queue: 4 is where a job stands that waits for answers to what it asked.
CREATE INDEX task_asking ON task (id) WHERE queue = 4;
