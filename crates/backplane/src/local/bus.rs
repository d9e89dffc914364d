//! A bus for a process that is alone.

use std::future::pending;

use async_trait::async_trait;
use model::{Bus, BusListener, Heard, Notice};

/// Carries nothing: there is no other process.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalBus;

/// Hears nothing, for ever.
struct Silence;

#[async_trait]
impl Bus for LocalBus {
    fn announce(&self, _notice: Notice) {}

    fn listen(&self) -> Box<dyn BusListener> {
        Box::new(Silence)
    }
}

#[async_trait]
impl BusListener for Silence {
    async fn next(&mut self) -> Heard {
        pending().await
    }
}
