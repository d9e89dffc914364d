//! A bus between the engines of one test.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use model::{Bus, BusListener, Heard, Notice};
use tokio::sync::broadcast::{self, error::RecvError};

/// Carries notices between processes, at once.
#[derive(Clone)]
pub(crate) struct Ether {
    sender: broadcast::Sender<(usize, Notice)>,
    processes: Arc<AtomicUsize>,
}

impl Default for Ether {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(1024).0,
            processes: Arc::default(),
        }
    }
}

impl Ether {
    /// The bus of one more process.
    pub(crate) fn process(&self) -> Arc<dyn Bus> {
        Arc::new(Process {
            number: self.processes.fetch_add(1, Ordering::SeqCst),
            ether: self.clone(),
        })
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }
}

struct Process {
    number: usize,
    ether: Ether,
}

impl Bus for Process {
    fn announce(&self, notice: Notice) {
        // Fails only when nobody listens.
        drop(self.ether.sender.send((self.number, notice)));
    }

    fn listen(&self) -> Box<dyn BusListener> {
        Box::new(Listener {
            own: self.number,
            receiver: self.ether.sender.subscribe(),
        })
    }
}

struct Listener {
    own: usize,
    receiver: broadcast::Receiver<(usize, Notice)>,
}

#[async_trait]
impl BusListener for Listener {
    async fn next(&mut self) -> Heard {
        loop {
            match self.receiver.recv().await {
                Ok((from, _)) if from == self.own => {}
                Ok((_, notice)) => return Heard::Notice(notice),
                Err(RecvError::Lagged(_) | RecvError::Closed) => return Heard::Missed,
            }
        }
    }
}
