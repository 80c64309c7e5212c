//! What must be true of whatever comes from outside. The fuzzer calls these with bytes of its own, the tests with a few
//! thousand.

use adapters::rails::{
    simulator::Simulator,
    stripe_connect::{Mode, Secret, Settings, StripeConnect},
};
use app::ports::{
    PayoutRail,
    rail::{About, Inbound, IngestError, Lookup, Order, RailEvent, Seen, Submit},
};
use domain::{
    ids::{InstructionId, ItemId},
    instruction::{Instruction, InstructionItem},
    money::Money,
    recipient::Destination,
    revenue_model::ModelSpec,
    timestamp::Timestamp,
};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::OnceLock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use uuid::Uuid;

const SECRET: &str = "whsec_fuzzed";
const NOW_SECONDS: i64 = 1_700_000_000;

fn mac(seconds: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn message(name: &str, value: &str, body: &[u8]) -> Inbound {
    let headers = vec![(name.to_owned(), value.to_owned())];
    Inbound { headers, body: body.to_vec(), received_at: Timestamp::from_unix_micros(NOW_SECONDS * 1_000_000) }
}

/// A message is a line with its signature, and a body.
fn messages(rail: &dyn PayoutRail, name: &str, bytes: &[u8]) {
    let (header, body) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (String::from_utf8_lossy(&bytes[..end]).into_owned(), &bytes[end + 1..]),
        None => (String::new(), bytes),
    };
    let ingest = |value: &str, body: &[u8]| rail.ingest(&message(name, value, body));
    let is_forged = |said: &Result<Vec<RailEvent>, IngestError>| matches!(said, Err(IngestError::Forged(_)));
    // Whatever stands in the header: what is believed is signed with the secret.
    if !is_forged(&ingest(&header, body)) {
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let instant = parts().find(|(name, _)| *name == "t").map(|(_, value)| value).expect("an instant is signed");
        // `+1` and `01` are numbers, too: what counts is what was signed.
        let number = instant.parse::<i64>().expect("the instant is a number").to_string();
        let is_signed =
            |digits: &str| [instant, &number].iter().any(|seconds| mac(seconds, body).eq_ignore_ascii_case(digits));
        assert!(parts().any(|(name, digits)| name == "v1" && is_signed(digits)), "{header}");
    }
    let signed = |seconds: i64, body: &[u8]| format!("t={seconds},v1={}", mac(&seconds.to_string(), body));
    let said = ingest(&signed(NOW_SECONDS, body), body);
    assert!(!is_forged(&said), "it is signed: {said:?}");
    assert_eq!(said, ingest(&signed(NOW_SECONDS, body), body), "the same message says the same");
    if let Ok(events) = &said {
        assert!(events.len() <= 1, "a message is about one thing: {events:?}");
    }
    for away in [-301, 301] {
        assert!(is_forged(&ingest(&signed(NOW_SECONDS + away, body), body)), "{away} seconds away");
    }
    let mut other = body.to_vec();
    other.push(b' ');
    assert!(is_forged(&ingest(&signed(NOW_SECONDS, body), &other)), "a byte more");
}

fn stripe(api_base: Option<String>) -> StripeConnect {
    StripeConnect::try_new(Settings {
        secret_key: Secret::new("sk_test_1"),
        mode: Mode::Test,
        webhook_secrets: vec![Secret::new(SECRET)],
        api_base,
    })
    .expect("Stripe can be set up")
}

/// What Stripe tells by itself.
pub fn stripe_messages(bytes: &[u8]) {
    static RAIL: OnceLock<StripeConnect> = OnceLock::new();
    messages(RAIL.get_or_init(|| stripe(None)), "stripe-signature", bytes);
}

/// What the simulator tells by itself.
pub fn simulator_messages(bytes: &[u8]) {
    static RAIL: OnceLock<Simulator> = OnceLock::new();
    let rail = RAIL.get_or_init(|| {
        Simulator::connect("http://127.0.0.1:9", Some(SECRET.as_bytes().to_vec())).expect("it need not be there")
    });
    messages(rail, "disburse-simulator-signature", bytes);
}

/// A server that gives one answer, and a rail that asks it.
struct Answered {
    runtime: Runtime,
    listener: TcpListener,
    rail: StripeConnect,
}

impl Answered {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("its address");
        // Made once: reading the roots of the web takes longer than everything else here.
        Self { runtime, listener, rail: stripe(Some(format!("http://{address}"))) }
    }

    fn answering<T>(&self, status: u16, header: &str, body: &[u8], asks: impl AsyncFnOnce(StripeConnect) -> T) -> T {
        let head =
            format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n{header}\r\n", body.len());
        let serve = async {
            loop {
                let Ok((mut peer, _)) = self.listener.accept().await else { continue };
                let mut asked = vec![0; 16_384];
                let _ = peer.read(&mut asked).await;
                let _ = peer.write_all(head.as_bytes()).await;
                let _ = peer.write_all(body).await;
                let _ = peer.shutdown().await;
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                answer = asks(self.rail.clone()) => answer,
                () = serve => unreachable!("it serves for ever"),
            }
        })
    }
}

fn ordered(rail: &dyn PayoutRail) -> Instruction {
    let (key, item) = (InstructionId::new(Uuid::from_u128(1)), ItemId::new(Uuid::from_u128(2)));
    let details = json!({ "account": "acct_1" }).as_object().cloned().expect("details");
    let amount = Money::new(100, "USD".parse().expect("a currency"));
    let order = Order {
        item,
        wire_ref: item.digits(),
        recipient: "rec_1".parse().expect("a recipient"),
        amount,
        destination: Destination { rail: rail.profile().id, details },
    };
    let body = rail.prepare(key, std::slice::from_ref(&order)).expect("it can be sent");
    let part = InstructionItem::new(item, order.wire_ref, 100, [0; 32]);
    let at = Timestamp::from_unix_micros(NOW_SECONDS * 1_000_000);
    let batch = domain::ids::BatchId::new(Uuid::from_u128(3));
    Instruction::record(key, batch, rail.profile().id, amount.currency, vec![part], 1, body, at)
}

/// What Stripe answers to a call or a question: the first byte chooses the status, the second the headers.
pub fn stripe_answers(bytes: &[u8]) {
    thread_local!(static ANSWERED: Answered = Answered::new());
    let [first, second, body @ ..] = bytes else { return };
    let statuses: [u16; 16] = [200, 201, 302, 400, 401, 402, 403, 404, 409, 424, 429, 500, 502, 503, 504, 200];
    let status = statuses[usize::from(*first) % statuses.len()];
    let headers = ["", "stripe-should-retry: true\r\n", "stripe-should-retry: false\r\n", "retry-after: 7\r\n"];
    let header = headers[usize::from(*second) % headers.len()];
    ANSWERED.with(|answered| {
        let (submit, instruction) = answered.answering(status, header, body, async |rail| {
            let instruction = ordered(&rail);
            (rail.submit(&instruction).await, instruction)
        });
        judge_submit(status, body, &instruction, &submit);
        if *second >= 128 {
            let lookup = answered.answering(status, header, body, async |rail| rail.query(&instruction).await);
            judge_lookup(status, &instruction, &lookup);
        }
    });
}

fn judge_submit(status: u16, body: &[u8], instruction: &Instruction, submit: &Submit) {
    let wire_ref = &instruction.items[0].wire_ref;
    match submit {
        // It says of itself that it is the one that was asked for.
        Submit::Accepted { reference, seen } => {
            assert!((200..300).contains(&status), "{status}");
            let said: Value = serde_json::from_slice(body).expect("what is believed can be read");
            assert_eq!(said["metadata"]["instruction"], instruction.id.to_string());
            assert_eq!(said["metadata"]["wire_ref"], wire_ref.as_str());
            assert_eq!(said["livemode"], false);
            assert_eq!(said["id"].as_str(), reference.as_deref());
            assert!(seen.iter().all(|event| event.about == About::Item(wire_ref.clone())));
            assert!(seen.iter().all(|event| matches!(event.what, Seen::Settled { .. } | Seen::Returned { .. })));
        }
        // Nothing but a refusal of Stripe's is one: no gateway, no redirection, no error of a server.
        Submit::Refused { reason, .. } => {
            assert!((400..500).contains(&status) && status != 429, "{status}");
            assert!(reason.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{reason}");
        }
        Submit::NotSent { .. } => assert!((400..500).contains(&status), "{status}"),
        Submit::Unknown { .. } => {}
    }
}

fn judge_lookup(status: u16, instruction: &Instruction, lookup: &Lookup) {
    match lookup {
        Lookup::Found(events) => {
            assert!((200..300).contains(&status), "{status}");
            let wire_ref = About::Item(instruction.items[0].wire_ref.clone());
            assert!(events.iter().all(|event| event.about == wire_ref), "{events:?}");
        }
        Lookup::ProvenAbsent => assert!((200..300).contains(&status), "an error proves nothing: {status}"),
        Lookup::CannotTell { .. } => {}
    }
}

/// A revenue model as it is stored: what can be read is read back as it was written, and checked without end or panic.
pub fn revenue_models(bytes: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<ModelSpec>(bytes) else { return };
    let written = serde_json::to_vec(&spec).expect("a model can be written");
    let again: ModelSpec = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, spec);
    assert_eq!(again.hash().to_string(), spec.hash().to_string());
    assert_eq!(spec.check().is_ok(), again.check().is_ok());
}
