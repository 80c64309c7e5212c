//! The way to the provider: a call in our process, or HTTP to a process of its own. Either way it takes five seconds at
//! most, and what took longer may have happened or not.

use super::{
    provider::{
        Provider, Trouble,
        api::{Answered, Recalled, Saying, TransferView},
    },
    remote::Remote,
};
use app::ports::rail::{Fault, NewFault, Notification, SimulatorSettings};
use domain::timestamp::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// How long a call may take: a little less than the five seconds that a rail has, so that there is time to say so.
pub(super) const CALL_MAX: Duration = Duration::from_millis(4_800);

/// What became of an order.
#[derive(Debug)]
pub(super) enum Called {
    /// It was answered.
    Answered(Answered),
    /// It never left.
    NotSent(String),
    /// It may have arrived or not.
    Lost(String),
}

/// A question was not answered. Why is for people.
#[derive(Debug)]
pub(super) struct Down(pub(super) String);

impl From<Trouble> for Down {
    fn from(trouble: Trouble) -> Self {
        Self(trouble.to_string())
    }
}

/// The way to the provider.
#[derive(Clone)]
pub(super) enum Link {
    /// It lives in our process.
    Local(Provider),
    /// It is a process of its own.
    Remote(Remote),
}

async fn in_time<T, E>(call: impl Future<Output = Result<T, E>>) -> Result<T, Down>
where
    Down: From<E>,
{
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Down("no answer came in time".to_owned())),
    }
}

impl Link {
    pub(super) fn known_settings(&self) -> SimulatorSettings {
        match self {
            Self::Local(provider) => provider.known_settings(),
            Self::Remote(remote) => remote.known_settings(),
        }
    }

    pub(super) async fn transfer(&self, key: &str, body: &[u8]) -> Called {
        let call = async {
            match self {
                Self::Local(provider) => match provider.transfer(key, body).await {
                    Ok(answered) => Called::Answered(answered),
                    Err(cause) => Called::Lost(cause),
                },
                Self::Remote(remote) => remote.transfer(key, body).await,
            }
        };
        let lost = |_| Called::Lost("no answer came in time".to_owned());
        tokio::time::timeout(CALL_MAX, call).await.unwrap_or_else(lost)
    }

    pub(super) async fn find(&self, key: &str) -> Result<Vec<TransferView>, Down> {
        match self {
            Self::Local(provider) => in_time(provider.find(key)).await,
            Self::Remote(remote) => in_time(remote.find(key)).await,
        }
    }

    pub(super) async fn recall(&self, key: &str) -> Result<Recalled, Down> {
        match self {
            Self::Local(provider) => in_time(provider.recall(key)).await,
            Self::Remote(remote) => in_time(remote.recall(key)).await,
        }
    }

    pub(super) async fn oldest_first(&self, after: &str, limit: u32) -> Result<Vec<TransferView>, Down> {
        match self {
            Self::Local(provider) => in_time(provider.oldest_first(after, limit)).await,
            Self::Remote(remote) => in_time(remote.transfers(Some(after), limit, false)).await,
        }
    }

    pub(super) async fn newest_first(&self, before: Option<&str>, limit: u32) -> Result<Vec<TransferView>, Down> {
        match self {
            Self::Local(provider) => in_time(provider.newest_first(before, limit)).await,
            Self::Remote(remote) => in_time(remote.transfers(before, limit, true)).await,
        }
    }

    pub(super) async fn said_since(
        &self,
        since: Timestamp,
        after: Option<(Timestamp, String)>,
        limit: u32,
    ) -> Result<Vec<Saying>, Down> {
        match self {
            Self::Local(provider) => in_time(provider.said_since(since, after, limit)).await,
            Self::Remote(remote) => in_time(remote.said_since(since, after, limit)).await,
        }
    }

    pub(super) async fn must_act(&self, details: &BTreeMap<String, String>) -> Result<Option<String>, Down> {
        match self {
            Self::Local(provider) => in_time(provider.must_act(details)).await,
            Self::Remote(remote) => in_time(remote.must_act(details)).await,
        }
    }

    pub(super) async fn set_fault(&self, fault: NewFault) -> Result<Fault, Down> {
        match self {
            Self::Local(provider) => in_time(provider.set_fault(fault)).await,
            Self::Remote(remote) => in_time(remote.set_fault(fault)).await,
        }
    }

    pub(super) async fn faults(&self) -> Result<Vec<Fault>, Down> {
        match self {
            Self::Local(provider) => in_time(provider.faults()).await,
            Self::Remote(remote) => in_time(remote.faults()).await,
        }
    }

    pub(super) async fn clear_faults(&self, id: Option<String>) -> Result<u64, Down> {
        match self {
            Self::Local(provider) => in_time(provider.clear_faults(id)).await,
            Self::Remote(remote) => in_time(remote.clear_faults(id)).await,
        }
    }

    pub(super) async fn settings(&self) -> Result<SimulatorSettings, Down> {
        match self {
            Self::Local(provider) => in_time(async { provider.settings().await.map_err(Trouble::from) }).await,
            Self::Remote(remote) => in_time(remote.settings()).await,
        }
    }

    pub(super) async fn change_settings(&self, settings: SimulatorSettings) -> Result<(), Down> {
        match self {
            Self::Local(provider) => in_time(provider.change_settings(settings)).await,
            Self::Remote(remote) => in_time(remote.change_settings(settings)).await,
        }
    }

    /// A process of its own posts what it has to tell.
    pub(super) async fn due(&self, limit: u32) -> Result<Vec<Notification>, Down> {
        match self {
            Self::Local(provider) => in_time(provider.due(limit)).await,
            Self::Remote(_) => Ok(Vec::new()),
        }
    }

    pub(super) async fn mark_delivered(&self, id: &str) -> Result<(), Down> {
        match self {
            Self::Local(provider) => in_time(provider.mark_delivered(id)).await,
            Self::Remote(_) => Ok(()),
        }
    }

    pub(super) async fn mark_failed(&self, id: &str) -> Result<(), Down> {
        match self {
            Self::Local(provider) => in_time(provider.mark_failed(id)).await,
            Self::Remote(_) => Ok(()),
        }
    }
}
