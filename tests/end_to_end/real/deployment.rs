//! A server without a worker, a worker, and a provider with a book of its own: three processes that break one by one.

use crate::harness::{
    home::{Engine, Home},
    process::{Process, disburse},
    tools::free_port,
    world::World,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SIMULATOR_SECRET: &str = "a secret between two processes";

/// The processes, over one home.
pub struct Deployment {
    /// The server.
    pub world: World,
    worker: Mutex<Option<Process>>,
    provider: Mutex<Option<Process>>,
    server_port: u16,
    provider_port: u16,
}

impl Deployment {
    /// All of them run.
    pub async fn new(engine: Engine) -> Self {
        Self::in_home(Home::new(engine).await).await
    }

    /// The same in a home that is there already.
    pub async fn in_home(home: Home) -> Self {
        let (server_port, provider_port) = (free_port(), free_port());
        let home = home.listening_on(server_port);
        let home = home.with("DISBURSE_SIMULATOR_URL", &format!("http://127.0.0.1:{provider_port}"));
        let home = home.with("DISBURSE_SIMULATOR_SECRET", SIMULATOR_SECRET);
        let world = World::asleep(home, &["--no-worker"]);
        let (worker, provider) = (Mutex::default(), Mutex::default());
        let deployment = Self { world, worker, provider, server_port, provider_port };
        deployment.start_provider().await;
        deployment.world.start().await;
        deployment.start_worker().await;
        deployment
    }

    /// Starts the worker, and waits until it works.
    pub async fn start_worker(&self) {
        let mut worker = self.world.home().start_aside("worker", &["worker"]);
        worker.says("working").await;
        *lock(&self.worker) = Some(worker);
    }

    /// Starts the provider over its book, and waits until it serves.
    pub async fn start_provider(&self) {
        let notify = format!("http://127.0.0.1:{}/rails/simulator/webhooks", self.server_port);
        let listen = format!("127.0.0.1:{}", self.provider_port);
        let arguments = ["simulator", "--notify", &notify, "--listen", &listen, "--data-dir", "provider"];
        let mut command = disburse(self.world.home().folder(), &arguments);
        command.env("DISBURSE_SIMULATOR_SECRET", SIMULATOR_SECRET);
        let mut provider = Process::start(command, self.world.home().folder().join("provider.log"));
        provider.says("simulating a provider").await;
        *lock(&self.provider) = Some(provider);
    }

    /// Ends the worker at once.
    pub fn kill_worker(&self) {
        drop(lock(&self.worker).take());
    }

    /// Ends the provider at once.
    pub fn kill_provider(&self) {
        drop(lock(&self.provider).take());
    }

    /// The worker's process id.
    pub fn worker_id(&self) -> u32 {
        lock(&self.worker).as_ref().expect("a worker").id()
    }

    /// What the worker that runs now has said.
    pub fn worker_said(&self) -> String {
        lock(&self.worker).as_ref().map(Process::said).unwrap_or_default()
    }

    /// No process that was not killed has ended.
    pub fn assert_all_run(&self) {
        assert!(self.world.ended().is_none(), "the server ended: {:?}", self.world.ended());
        for process in [&self.worker, &self.provider] {
            if let Some(process) = lock(process).as_mut() {
                let ended = process.ended();
                assert!(ended.is_none(), "it ended with {ended:?}:\n{}", process.said());
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
