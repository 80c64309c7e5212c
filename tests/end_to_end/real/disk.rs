//! The disk is full: the database of a service on SQLite is on a small one of its own, and somebody else fills it.

use super::{
    super::{promises::persistent_under, release},
    deployment::Deployment,
    is_soak,
    judge::judge,
    load::Load,
};
use crate::harness::{
    chance::Seeded,
    home::{Engine, Home},
    process::{PATIENCE, Process},
    sql::{connect, value},
    tools::program,
};
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// Times that it is full: in CI, and if `DISBURSE_SOAK` says so.
const TIMES: (usize, usize) = (4, 40);
/// Between two releases of a caller at most.
const PAUSE_MS: u64 = 400;
/// How large the disk is, in the same two: what is written in all that time has room on it.
const DISK_MIB: (u64, u64) = (24, 256);
/// How long it stays full once the service has noticed.
const FULL_FOR: Duration = Duration::from_millis(1_200);
/// How soon a release is acknowledged again when there is room: callers come again after at most 50 ms.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(15);
/// A page of SQLite and of memory.
const PAGE: u64 = 4_096;

/// A disk of its own in the home's data folder, which only those see who are started over it. It goes with this value.
struct SmallDisk {
    holder: Process,
    folder: PathBuf,
}

impl SmallDisk {
    /// In a namespace of its own, for which nobody needs to be root where the kernel lets users have some.
    async fn mounted_for(home: Home) -> (Self, Home) {
        let folder = home.folder().to_owned();
        fs::create_dir(folder.join("data")).expect("a folder for the data");
        let mebibytes = if is_soak() { DISK_MIB.1 } else { DISK_MIB.0 };
        let script = format!(
            "mount -t tmpfs -o size={mebibytes}m,mode=0777 tmpfs data && echo '{{\"message\":\"mounted\"}}' && exec sleep 86400"
        );
        let mut command = Command::new(program("unshare", "util-linux"));
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        command.current_dir(&folder).stdin(Stdio::null());
        let mut holder = Process::start(command, folder.join("disk.log"));
        if let Err(status) = holder.says_or_ends("mounted").await {
            panic!(
                "no disk of its own ({status}): this test needs a kernel that lets this user have namespaces \
                 (`unshare --user --map-root-user --mount` with a tmpfs in it):\n{}",
                holder.said()
            );
        }
        let enter = program("nsenter", "util-linux");
        let (enter, target) = (enter.to_str().expect("a path").to_owned(), holder.id().to_string());
        let words = [enter.as_str(), "--target", &target, "--user", "--mount", "--preserve-credentials", "--wd"];
        (Self { holder, folder }, home.started_by(&words))
    }

    /// The data folder, as those see it who are in the namespace.
    fn data(&self) -> PathBuf {
        let folder = self.folder.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(folder).join("data")
    }

    /// Somebody fills it, but for so many pages.
    fn fill(&self, pages_left: u64) {
        let mut filler = fs::File::create(self.data().join("filler")).expect("the filler can be made");
        let zeros = vec![0; usize::try_from(PAGE).expect("a length")];
        let mut length = 0;
        while filler.write_all(&zeros).is_ok() {
            length += PAGE;
        }
        filler.set_len(length.saturating_sub(pages_left * PAGE)).expect("the filler can be cut");
    }

    /// What is on it, in bytes.
    fn sizes(&self) -> Vec<(String, u64)> {
        let files = fs::read_dir(self.data()).expect("the data can be listed").flatten();
        let size = |file: &fs::DirEntry| file.metadata().map_or(0, |data| data.len());
        files.map(|file| (file.file_name().to_string_lossy().into_owned(), size(&file))).collect()
    }

    /// There is room again.
    fn free(&self) {
        fs::remove_file(self.data().join("filler")).expect("the filler can be removed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_of_full_disks_loses_nothing_and_sends_nothing_that_is_not_written() {
    let times = if is_soak() { TIMES.1 } else { TIMES.0 };
    let mut chance = Seeded::new("full disks");
    let (disk, home) = SmallDisk::mounted_for(Home::new(Engine::Sqlite).await).await;
    let deployment = Arc::new(Deployment::in_home(home).await);
    let world = &deployment.world;
    let load = Load::start(&deployment, &mut chance, PAUSE_MS).await;
    let (mut longest, mut mine, mut number) = (Duration::ZERO, Vec::new(), 0);
    for _ in 0..times {
        chance.pause(1_000).await;
        // Sometimes there is room for a claim and not for an intent.
        disk.fill(chance.below(24));
        let deadline = Instant::now() + PATIENCE;
        let mut refused = 0;
        while refused < 3 {
            assert!(Instant::now() < deadline, "the disk is full, and nobody is told");
            let escrow = format!("esc_mine{number}");
            number += 1;
            match world.schedule(&release(&escrow, "prj_plain", 10_000, "USD")).await {
                answer if answer.status == 503 => {
                    answer.refused(503, "unavailable");
                    refused += 1;
                }
                answer => drop(answer.with(201)),
            }
            mine.push(escrow);
        }
        tokio::time::sleep(FULL_FOR).await;
        // What is there can be read.
        world.get("/payouts/batches?limit=1").await.with(200);
        disk.free();
        let (room, before) = (Instant::now(), load.acknowledged());
        while load.acknowledged() == before {
            let is_late = room.elapsed() >= ACKNOWLEDGED_WITHIN;
            assert!(!is_late, "nothing is acknowledged; on the disk: {:?}", disk.sizes());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        longest = longest.max(room.elapsed());
        deployment.assert_all_run();
    }
    let mut acknowledged = load.end().await;
    for escrow in mine {
        let body = release(&escrow, "prj_plain", 10_000, "USD");
        acknowledged.insert(escrow, persistent_under(world, &body, None).await);
    }
    let worker = deployment.worker_said();
    let unwritten = worker.matches("could not do a job; trying again").count();
    let unclaimed = worker.matches("cannot claim jobs; trying again").count();
    let verdict = judge(world, &acknowledged).await;
    // What counts is in the file, and not in a transaction that somebody has still open.
    world.kill();
    deployment.kill_worker();
    world.start().await;
    deployment.start_worker().await;
    judge(world, &acknowledged).await;
    world.kill();
    deployment.kill_worker();
    assert_eq!(integrity(&disk).await, "ok");
    println!("on the disk: {:?}", disk.sizes());
    println!(
        "{times} times full: {verdict:?}; {unclaimed} claims and {unwritten} jobs failed; acknowledged again within \
         {longest:?}"
    );
    assert!(unclaimed > 0 && unwritten > 0, "the worker noticed nothing:\n{worker}");
}

/// Of a copy, for SQLite would not find the file where we see it. Nobody may write.
async fn integrity(disk: &SmallDisk) -> String {
    let copy = tempfile::tempdir().expect("a folder for the copy");
    for name in ["disburse.db", "disburse.db-wal"] {
        fs::copy(disk.data().join(name), copy.path().join(name)).expect("it can be copied");
    }
    let file = connect(&format!("sqlite://{}", copy.path().join("disburse.db").display())).await;
    value(&file, "PRAGMA integrity_check").await
}
