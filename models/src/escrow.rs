//! Releases of one escrow that come side by side: each is booked at most once, and what is answered is what is stored.

use crate::{
    begin::{empty_world, publish_model, release},
    desk::{Desk, Fate, Point, Process, do_at_once, go_on},
    rules::Weakening,
    world::{World, at_once},
};
use app::{payouts::schedule_payouts::SchedulePayoutsError, ports::PayoutRepository};
use domain::ids::BatchId;
use stateright::{Model, Property};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Releases side by side.
pub struct Escrow {
    /// What each server was asked to release, in minor units: those that name the same say the same.
    pub asks: Vec<i64>,
    /// How much goes wrong at most on one path.
    pub faults: u8,
    /// What is taken away.
    pub weak: Option<Weakening>,
}

/// What a server said to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// 201: it is booked, as this batch of so much.
    Booked(BatchId, i64),
    /// 409: it was booked before, as this batch of so much; whether that request said the same.
    Before(BatchId, i64, bool),
    /// 503: send the same request again.
    Again,
    /// Something else.
    Refused(&'static str),
}

#[derive(Clone)]
enum Server {
    At(Process),
    Said(Said),
    Died,
}

/// A state: the world, and the servers as they stand.
#[derive(Clone)]
pub struct State {
    world: Arc<World>,
    servers: Vec<Server>,
    shape: Shape,
}

/// How a server stands: before which call, how much it knows, or what it said of which batch.
type Stands = (&'static str, usize, Option<(usize, i64, bool)>);

/// Which batches there are, and where each server stands: before which call, how much it knows, or what it said. A batch
/// is named by the server that made it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Shape {
    booked: Vec<(usize, i64)>,
    found: Option<usize>,
    faults: u8,
    broken: Option<&'static str>,
    servers: Vec<Stands>,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
    }
}
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.shape.hash(hasher);
    }
}
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { booked, servers, .. } = &self.shape;
        write!(f, "{booked:?} {servers:?}")
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A server makes its next call, of which that becomes.
    Goes(usize, Fate),
    /// A server dies, and its caller hears nothing.
    Dies(usize),
    /// Whoever heard nothing certain sends the same request again.
    AsksAgain(usize),
}

impl Escrow {
    /// So many servers, of which the last is asked to release another amount.
    pub fn of(servers: usize, weak: Option<Weakening>) -> Self {
        let asks = (1..=servers).map(|server| if server == servers { 200 } else { 100 }).collect();
        Self { asks, faults: 1, weak }
    }

    /// A world with a model and nothing else.
    fn own_world(&self) -> World {
        let world = empty_world(self.faults, 0);
        let now = world.now();
        do_at_once(world, (Fate::Fine, None, None), async |desk| publish_model(&desk, now).await).0
    }

    /// A server that was just asked.
    fn server(&self, world: &mut World, amount_minor: i64) -> Process {
        let mut process = Process::new(world, Point::Commit);
        if self.weak != Some(Weakening::FingerprintIgnored) {
            return process;
        }
        // What it would have booked in a world of its own.
        let alone = World { memory: self.own_world().memory, ..world.clone() };
        let (alone, _) = do_at_once(alone, (Fate::Fine, None, None), |desk| Self::answer(desk, amount_minor));
        let booked =
            at_once(alone.memory.batch_by_escrow(&crate::read("esc_1"))).expect("the memory store can be read");
        process.asked = booked.and_then(|batch| batch.release().map(|release| release.fingerprint));
        process
    }

    async fn answer(desk: Arc<Desk>, amount_minor: i64) -> Said {
        match release(&desk, amount_minor).await {
            Ok(batch) => Said::Booked(batch.id, batch.amount_minor),
            Err(SchedulePayoutsError::AlreadyScheduled { existing, request_matches, .. }) => {
                Said::Before(existing.id, existing.amount_minor, request_matches)
            }
            Err(
                SchedulePayoutsError::Store(_) | SchedulePayoutsError::OutcomeUnknown(_) | SchedulePayoutsError::Busy,
            ) => Said::Again,
            Err(_) => Said::Refused("it was refused"),
        }
    }

    fn state(world: World, servers: Vec<Server>) -> State {
        let escrow = crate::read("esc_1");
        let found = at_once(world.memory.batch_by_escrow(&escrow)).expect("the memory store can be read");
        let place = |id: BatchId| world.booked.iter().position(|(known, _)| *known == id).unwrap_or(usize::MAX);
        let stands = |server: &Server| -> Stands {
            match server {
                Server::At(process) => (process.at.as_str(), process.knows(), None),
                Server::Died => ("died", 0, None),
                Server::Said(Said::Booked(id, amount)) => ("booked", 0, Some((place(*id), *amount, true))),
                Server::Said(Said::Before(id, amount, same)) => ("before", 0, Some((place(*id), *amount, *same))),
                Server::Said(Said::Again) => ("again", 0, None),
                Server::Said(Said::Refused(why)) => (*why, 0, None),
            }
        };
        let shape = Shape {
            booked: world.booked.iter().enumerate().map(|(place, (_, amount))| (place, *amount)).collect(),
            found: found.map(|batch| place(batch.id)),
            faults: world.faults,
            broken: world.broken,
            servers: servers.iter().map(stands).collect(),
        };
        State { world: Arc::new(world), servers, shape }
    }

    /// The first promise that is not kept.
    pub fn violation(&self, state: &State) -> Option<&'static str> {
        let world = &state.world;
        if world.broken.is_some() {
            return world.broken;
        }
        if world.booked.len() > 1 {
            return Some("an escrow became two batches");
        }
        for (server, ask) in state.servers.iter().zip(&self.asks) {
            let Server::Said(said) = server else { continue };
            let is_stored = |id: &BatchId, amount: &i64| world.booked.contains(&(*id, *amount));
            match said {
                Said::Booked(id, amount) if !is_stored(id, amount) => {
                    return Some("what was acknowledged is not stored");
                }
                Said::Booked(_, amount) if amount != ask => return Some("another amount was acknowledged"),
                Said::Before(id, amount, _) if !is_stored(id, amount) => {
                    return Some("a batch is named that is not stored");
                }
                Said::Before(_, amount, same) if *same != (amount == ask) => {
                    return Some("another request was taken for the same, or the same for another");
                }
                Said::Refused(why) => return Some(why),
                Said::Booked(..) | Said::Before(..) | Said::Again => {}
            }
        }
        let acknowledged = state.servers.iter().filter(|server| matches!(server, Server::Said(Said::Booked(..))));
        if acknowledged.count() > 1 {
            return Some("two were told that they booked it");
        }
        let is_over =
            state.servers.iter().all(|server| matches!(server, Server::Said(Said::Booked(..) | Said::Before(..))));
        if is_over && world.booked.is_empty() { Some("everybody was answered and nothing is booked") } else { None }
    }
}

impl Model for Escrow {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        let mut world = self.own_world();
        let servers = self.asks.iter().map(|amount| Server::At(self.server(&mut world, *amount))).collect();
        vec![Self::state(world, servers)]
    }

    fn actions(&self, state: &State, acts: &mut Vec<Act>) {
        let fails = state.world.faults > 0;
        for (number, server) in state.servers.iter().enumerate() {
            match server {
                Server::At(process) => {
                    acts.push(Act::Goes(number, Fate::Fine));
                    if fails && process.at == Point::Commit {
                        acts.extend(
                            [Fate::Fails, Fate::Unclear, Fate::UnclearLost].map(|fate| Act::Goes(number, fate)),
                        );
                    }
                    if fails {
                        acts.push(Act::Dies(number));
                    }
                }
                Server::Died | Server::Said(Said::Again) => acts.push(Act::AsksAgain(number)),
                Server::Said(_) => {}
            }
        }
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        let mut world = (*last.world).clone();
        let mut servers = last.servers.clone();
        match act {
            Act::Goes(number, fate) => {
                world.faults -= u8::from(fate != Fate::Fine);
                let Server::At(process) = servers[number].clone() else { return None };
                let amount = self.asks[number];
                let (went, said) = go_on(world, process, (number, fate, self.weak), |desk| Self::answer(desk, amount));
                world = went;
                servers[number] = said.map_or_else(Server::At, Server::Said);
            }
            Act::Dies(number) => {
                world.faults -= 1;
                servers[number] = Server::Died;
            }
            Act::AsksAgain(number) => servers[number] = Server::At(self.server(&mut world, self.asks[number])),
        }
        Some(Self::state(world, servers))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let kept = Property::<Self>::always("an escrow becomes one batch, and everybody is told so", |model, state| {
            model.violation(state).is_none()
        });
        if self.weak.is_some() {
            return vec![kept];
        }
        fn has(state: &State, wanted: impl Fn(&Said) -> bool) -> bool {
            state.servers.iter().any(|server| matches!(server, Server::Said(said) if wanted(said)))
        }
        vec![
            kept,
            Property::<Self>::sometimes("somebody lost the race with the same", |_, state| {
                has(state, |said| matches!(said, Said::Before(_, _, true)))
            }),
            Property::<Self>::sometimes("somebody lost the race with another amount", |_, state| {
                has(state, |said| matches!(said, Said::Before(_, _, false)))
            }),
            Property::<Self>::sometimes("somebody was told to ask again", |_, state| {
                has(state, |said| matches!(said, Said::Again))
            }),
        ]
    }
}
