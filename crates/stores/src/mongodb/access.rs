//! Changes of access, for the other processes on this database.

use model::AccessLog;

use super::MongoStore;

impl AccessLog for MongoStore {}
