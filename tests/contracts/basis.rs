//! What a release is booked on, in one look: what each of its parts would be told alone.

use super::{
    Bench, Ports,
    sample::{booked, carried, count, insert, moves, policy, read, recipient, seconds, version},
};
use app::{
    change::New,
    ports::repository::{Basis, InForce, Wanted},
};
use domain::{
    ids::RecipientId,
    recipient::RecipientStatus,
    revenue_model::{ModelStatus, ModelVersion},
    timestamp::Timestamp,
};

fn wanted(project: &str, as_of: Option<Timestamp>, names: impl IntoIterator<Item = String>) -> Wanted {
    let recipients: Vec<RecipientId> = names.into_iter().map(|name| read(&name)).collect();
    let counters = recipients.iter().map(|id| carried(id.as_str())).collect();
    Wanted { project: read(project), as_of, recipients, counters, may_be_recalled: false }
}

/// What is asked for in one look, and what is asked for piece by piece.
async fn assert_same(ports: &Ports, wanted: Wanted) -> Basis {
    let before = ports.now().await;
    let basis = ports.repository.basis(&wanted).await.unwrap();
    assert!(before <= basis.now && basis.now <= ports.now().await);
    let repository = ports.repository.as_ref();
    let as_of = wanted.as_of.unwrap_or(basis.now);
    assert_eq!(basis.in_force, repository.model_in_force(&wanted.project, as_of).await.unwrap());
    assert_eq!(basis.policy, repository.policy().await.unwrap());
    let (mut found, mut alone) = (basis.recipients.clone(), repository.recipients(&wanted.recipients).await.unwrap());
    found.sort_by(|one, two| one.value.id.cmp(&two.value.id));
    alone.sort_by(|one, two| one.value.id.cmp(&two.value.id));
    assert_eq!(found, alone);
    let (mut found, mut alone) = (basis.counters.clone(), repository.counters(&wanted.counters).await.unwrap());
    found.sort_by(|one, two| one.key.cmp(&two.key));
    alone.sort_by(|one, two| one.key.cmp(&two.key));
    assert_eq!(found, alone);
    basis
}

pub async fn a_basis_is_what_each_of_its_parts_is_alone(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let nothing = assert_same(&ports, wanted("prj_film", None, [])).await;
    assert_eq!((nothing.in_force, nothing.policy), (InForce::ProjectUnknown, None));

    let mut pending = recipient("rec_ben", now);
    pending.status = RecipientStatus::Pending;
    pending.payout_minimums = [(read("USD"), 500)].into();
    for new in [
        New::ModelVersion(version("prj_film", 1, now.after(seconds(1000)))),
        New::ModelVersion(ModelVersion { status: ModelStatus::Draft, ..version("prj_draft", 1, now) }),
        New::ModelVersion(version("prj_song", 1, now)),
        New::ModelVersion(ModelVersion { effective_to: Some(now.after(seconds(500))), ..version("prj_song", 2, now) }),
        New::Recipient(recipient("rec_ana", now)),
        New::Recipient(pending),
        New::Policy(policy(1, now)),
        New::Policy(policy(2, now)),
    ] {
        ports.commit(insert(new)).await;
    }
    let batch = booked(&ports).await.batch.id;
    for (revision, add) in [(0, 7), (1, -9)] {
        ports.commit(moves([count(&carried("rec_ana"), Some(revision), add, batch)])).await;
    }
    let names = || ["rec_ana", "rec_nobody", "rec_ben", "rec_ana"].map(str::to_owned);
    for project in ["prj_film", "prj_draft", "prj_song", "prj_nobodys"] {
        for as_of in [None, Some(now.after(seconds(600))), Some(now.after(seconds(2000)))] {
            assert_same(&ports, wanted(project, as_of, names())).await;
        }
    }
    let found = assert_same(&ports, wanted("prj_song", None, names())).await;
    assert!(matches!(found.in_force, InForce::Version(version) if version.version == 2));
    assert_eq!(found.policy.map(|policy| policy.version), Some(2));
    assert_eq!((found.recipients.len(), found.counters.len()), (2, 1));

    bench.pass(seconds(700)).await;
    let later = assert_same(&ports, wanted("prj_song", None, names())).await;
    assert!(matches!(later.in_force, InForce::Version(version) if version.version == 1), "now is another time");
}

pub async fn a_basis_may_be_of_any_size(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    ports.commit(insert(New::ModelVersion(version("prj_film", 1, now)))).await;
    ports.commit(insert(New::Recipient(recipient("rec_1234", now)))).await;
    for size in [1, 8, 9, 127, 255, 2_000] {
        let names = (1_234..1_234 + size).map(|number| format!("rec_{number}"));
        let found = assert_same(&ports, wanted("prj_film", None, names)).await;
        assert_eq!(found.recipients.len(), 1);
    }
}
