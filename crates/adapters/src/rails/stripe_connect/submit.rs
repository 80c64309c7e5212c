//! The only call that moves money.

use super::{
    StripeConnect,
    client::{Reply, Silence},
    prepare,
    profile::CALL_MAX,
    reasons,
    wire::Transfer,
};
use app::ports::rail::Submit;
use domain::instruction::Instruction;

/// Where transfers are made and listed.
pub(super) const TRANSFERS: &str = "/v1/transfers";

impl StripeConnect {
    pub(super) async fn transfer(&self, instruction: &Instruction) -> Submit {
        let key = instruction.id.to_string();
        match self.client.post(TRANSFERS, instruction.body.clone(), &key, CALL_MAX).await {
            Ok(reply) if (200..300).contains(&reply.status) => self.accepted(instruction, &reply),
            Ok(reply) => reasons::classify(&reply),
            Err(Silence::NotSent(cause)) => Submit::NotSent { cause, retry_after: None, ours: false },
            Err(Silence::Unclear(cause)) => Submit::Unknown { cause },
        }
    }

    /// Stripe says that it made a transfer. If what it says of it is not what was asked for, it is not believed: what
    /// there is, is found by asking.
    fn accepted(&self, instruction: &Instruction, reply: &Reply) -> Submit {
        let doubt = |why: String| {
            let cause = format!("{why}, request {}", reply.request);
            tracing::error!(alarm = "answer_not_believed", instruction = %instruction.id, cause, "a person is needed");
            Submit::Unknown { cause }
        };
        let transfer: Transfer = match serde_json::from_slice(&reply.body) {
            Ok(transfer) => transfer,
            Err(error) => return doubt(format!("the answer cannot be read: {error}")),
        };
        let key = instruction.id.to_string();
        let Some(part) = instruction.items.iter().find(|part| transfer.wire_ref() == Some(part.wire_ref.as_str()))
        else {
            return doubt(format!("{} is not the transfer that was asked for", transfer.id));
        };
        if transfer.instruction() != Some(key.as_str())
            || transfer.account() != prepare::account_of(&instruction.body).as_deref()
            || transfer.livemode != self.mode.is_live()
        {
            return doubt(format!("{} is not the transfer that was asked for", transfer.id));
        }
        // The amount goes along: whether it is the payment's is decided by whoever hears it.
        match transfer.events(&part.wire_ref, &reply.body) {
            Ok(seen) => Submit::Accepted { reference: Some(transfer.id), seen },
            Err(error) => doubt(error.to_string()),
        }
    }
}
