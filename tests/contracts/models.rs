//! Which version of a project's model splits what was earned when.

use super::{
    Bench, Ports,
    sample::{insert, read, seconds, version},
};
use app::{change::New, ports::repository::InForce};
use domain::{
    revenue_model::{ModelStatus, ModelVersion},
    timestamp::Timestamp,
};

async fn store(ports: &Ports, version: &ModelVersion) {
    ports.commit(insert(New::ModelVersion(version.clone()))).await;
}

/// The number of the version in force, so many seconds after `start`.
async fn in_force(ports: &Ports, start: Timestamp, second: u64) -> Option<u32> {
    match ports.repository.model_in_force(&read("prj_film"), start.after(seconds(second))).await.unwrap() {
        InForce::ProjectUnknown => panic!("the project is known"),
        InForce::Nothing => None,
        InForce::Version(version) => Some(version.version),
    }
}

pub async fn a_project_is_unknown_until_a_model_is_stored(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    store(&ports, &version("prj_other", 1, now)).await;
    let found = ports.repository.model_in_force(&read("prj_film"), now).await.unwrap();
    assert_eq!(found, InForce::ProjectUnknown);
    store(&ports, &version("prj_film", 1, now)).await;
    assert_eq!(in_force(&ports, now, 0).await, Some(1));
}

pub async fn a_draft_makes_a_project_known_but_is_never_in_force(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    store(&ports, &ModelVersion { status: ModelStatus::Draft, ..version("prj_film", 1, now) }).await;
    assert_eq!(in_force(&ports, now, 10).await, None);
}

pub async fn a_version_is_in_force_from_its_first_instant_until_before_its_last(bench: &dyn Bench) {
    let ports = bench.ports();
    let start = ports.now().await;
    let from = start.after(seconds(10));
    let to = start.after(seconds(20));
    store(&ports, &ModelVersion { effective_to: Some(to), ..version("prj_film", 1, from) }).await;
    for (second, found) in [(0, None), (9, None), (10, Some(1)), (19, Some(1)), (20, None), (90, None)] {
        assert_eq!(in_force(&ports, start, second).await, found, "{second}");
    }
    let micro = |at: Timestamp, by: i64| Timestamp::from_unix_micros(at.unix_micros() + by);
    for (at, found) in [(micro(from, -1), false), (from, true), (micro(to, -1), true), (to, false)] {
        let is_found = ports.repository.model_in_force(&read("prj_film"), at).await.unwrap() != InForce::Nothing;
        assert_eq!(is_found, found, "{at}");
    }
}

pub async fn of_the_versions_that_cover_an_instant_the_newest_is_in_force(bench: &dyn Bench) {
    let ports = bench.ports();
    let start = ports.now().await;
    let at = |second| start.after(seconds(second));
    let until = |end, version| ModelVersion { effective_to: Some(at(end)), ..version };
    store(&ports, &version("prj_film", 1, at(0))).await;
    store(&ports, &until(30, version("prj_film", 2, at(10)))).await;
    store(&ports, &ModelVersion { status: ModelStatus::Draft, ..version("prj_film", 3, at(0)) }).await;
    // Newer, though it begins earlier: the number decides, also where ten is more than nine.
    for number in 4..=9 {
        store(&ports, &until(6, version("prj_film", number, at(5)))).await;
    }
    store(&ports, &until(26, version("prj_film", 10, at(5)))).await;
    store(&ports, &version("prj_other", 11, at(0))).await;
    for (second, found) in [(0, 1), (4, 1), (5, 10), (25, 10), (26, 2), (29, 2), (30, 1)] {
        assert_eq!(in_force(&ports, start, second).await, Some(found), "{second}");
    }
}

pub async fn the_newest_version_may_be_a_draft(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    for number in 1..=10 {
        store(&ports, &version("prj_film", number, now)).await;
    }
    let draft = ModelVersion { status: ModelStatus::Draft, ..version("prj_film", 11, now) };
    store(&ports, &draft).await;
    store(&ports, &version("prj_other", 12, now)).await;
    assert_eq!(ports.repository.newest_model(&draft.project).await.unwrap(), Some(draft));
    assert_eq!(in_force(&ports, now, 1).await, Some(10));
}
