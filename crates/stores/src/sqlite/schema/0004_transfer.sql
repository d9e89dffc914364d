-- Texts about the store itself: its name, and how far a transfer into it has come.
CREATE TABLE label (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a task gave whose call the history lacks; else it is read from there.
ALTER TABLE task ADD COLUMN result TEXT;
