//! A MongoDB replica set of a test's own, whose primary steps down or is killed.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use mongodb::{
    Client,
    bson::{Document, doc},
};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{fixture::PATIENCE, home};

const NAME: &str = "rs0";

pub(super) struct ReplicaSet {
    program: String,
    members: Vec<Member>,
}

struct Member {
    address: SocketAddr,
    folder: TempDir,
    /// Asks this member alone.
    client: Client,
    child: Option<Child>,
}

impl ReplicaSet {
    /// Starts three members that elect a new primary within a second or two; `None`, and a word about it, where no
    /// program is named.
    pub(super) async fn start() -> Option<Self> {
        let program = home::program("MONGOD")?;
        let mut set = Self {
            program,
            members: Vec::new(),
        };
        for _ in 0..3 {
            // Free at this moment; mongod ends when it is taken meanwhile, and the test fails.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let uri = format!("mongodb://{address}/?directConnection=true");
            set.members.push(Member {
                address,
                folder: TempDir::new().unwrap(),
                client: Client::with_uri_str(uri).await.unwrap(),
                child: None,
            });
        }
        set.restart_killed();
        let members: Vec<Document> = (0_i32..)
            .zip(&set.members)
            .map(|(number, member)| doc! { "_id": number, "host": member.address.to_string() })
            .collect();
        let settings = doc! { "electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200 };
        let initiate = doc! { "replSetInitiate": { "_id": NAME, "members": members, "settings": settings } };
        let admin = set.members[0].client.database("admin");
        admin.run_command(initiate).await.unwrap();
        set.primary().await;
        Some(set)
    }

    pub(super) fn uri(&self) -> String {
        let hosts: Vec<String> = self
            .members
            .iter()
            .map(|member| member.address.to_string())
            .collect();
        format!("mongodb://{}/?replicaSet={NAME}", hosts.join(","))
    }

    /// Lets the primary step down.
    pub(super) async fn step_down(&self) {
        let primary = &self.members[self.primary().await];
        let command = doc! { "replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2 };
        primary
            .client
            .database("admin")
            .run_command(command)
            .await
            .unwrap();
    }

    /// Kills the primary as SIGKILL does.
    pub(super) async fn kill_primary(&mut self) {
        let number = self.primary().await;
        let mut child = self.members[number].child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until every member takes part, and kills the primary.
    pub(super) async fn kill_primary_when_whole(&mut self) {
        let whole = async {
            loop {
                let primary = &self.members[self.primary().await];
                let status = doc! { "replSetGetStatus": 1 };
                let Ok(status) = primary.client.database("admin").run_command(status).await else {
                    continue;
                };
                let members = status.get_array("members").unwrap();
                let states = members
                    .iter()
                    .map(|member| member.as_document().unwrap().get_i32("state"));
                // 1 is a primary, 2 a secondary.
                if states.into_iter().all(|state| matches!(state, Ok(1 | 2))) {
                    return;
                }
            }
        };
        timeout(2 * PATIENCE, whole)
            .await
            .expect("a member doesn't come back");
        self.kill_primary().await;
    }

    /// Starts the members that don't run.
    pub(super) fn restart_killed(&mut self) {
        for member in self.members.iter_mut().filter(|member| member.child.is_none()) {
            let mut command = Command::new(&self.program);
            command.arg("--dbpath").arg(member.folder.path());
            command.args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--replSet", NAME]);
            command.args(["--port", &member.address.port().to_string()]);
            command.args(["--wiredTigerCacheSizeGB", "0.25"]);
            command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            member.child = Some(command.spawn().unwrap());
        }
    }

    /// The number of the member that is the primary, as soon as there is one.
    async fn primary(&self) -> usize {
        let looking = async {
            loop {
                for (number, member) in self.members.iter().enumerate() {
                    if member.child.is_none() {
                        continue;
                    }
                    let hello = member
                        .client
                        .database("admin")
                        .run_command(doc! { "hello": 1 })
                        .await;
                    if hello.is_ok_and(|answer| matches!(answer.get_bool("isWritablePrimary"), Ok(true))) {
                        return number;
                    }
                }
            }
        };
        timeout(2 * PATIENCE, looking).await.expect("there is no primary")
    }
}

impl Drop for ReplicaSet {
    fn drop(&mut self) {
        for child in self.members.iter_mut().filter_map(|member| member.child.as_mut()) {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
