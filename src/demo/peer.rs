//! What do all peers of the demo share? The plant behind one lock, and a handle that ends them.

use crate::clock::Clock;
use crate::sim::{Plant, TICK};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// The plant, alive in real time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedPlant {
    plant: Arc<Mutex<Plant>>,
    clock: Clock,
}

impl SharedPlant {
    /// Shares `plant`, whose time is this clock's.
    pub fn new(plant: Plant, clock: Clock) -> Self {
        SharedPlant { plant: Arc::new(Mutex::new(plant)), clock }
    }

    /// Looks at the plant as it is now, or does something to it.
    pub fn with<R>(&self, look: impl FnOnce(&mut Plant) -> R) -> R {
        let mut plant = self.plant.lock().unwrap_or_else(PoisonError::into_inner);
        // What meters and chargers say is dropped: here they say it on their own sockets.
        drop(plant.advance(self.clock.now()));
        look(&mut plant)
    }

    /// The clock that the plant lives by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Lets time pass though nobody looks.
    pub fn live(&self) -> Task {
        let shared = self.clone();
        Task::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                shared.with(|_| ());
            }
        })
    }
}

/// Something that runs until it is stopped or its handle is dropped.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Starts it.
    pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Task(tokio::spawn(work))
    }

    /// Ends it and waits until it has ended; its sockets are closed then.
    pub async fn stop(mut self) {
        self.0.abort();
        // An aborted task answers with an error; there is nothing to learn from it.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A peer that listens.
#[derive(Debug)]
pub struct Peer {
    /// Where.
    pub address: SocketAddr,
    task: Task,
}

impl Peer {
    /// A peer that listens at `address` while `work` runs.
    pub fn new(address: SocketAddr, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Peer { address, task: Task::spawn(work) }
    }

    /// Ends it and waits until its sockets are closed.
    pub async fn stop(self) {
        self.task.stop().await;
    }
}
