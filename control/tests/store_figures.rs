//! What the store was chosen by (docs/decisions/0012): group commits of records at random keys, each followed
//! by a flush to the disk, and reading all in order, beside a B-tree that is written in place of its copies
//! (redb). Prints figures; run it with
//! `cargo test --release -p control --test store_figures -- --ignored --nocapture`.

use control::location::store::Store;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use sip_core::record::{BindingView, write};
use std::path::Path;
use std::time::{Duration, Instant};

const AORS: u32 = 1_000_000;
const GROUP: usize = 300;
const GROUPS: usize = 300;
const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("aors");

/// A store under test.
trait Candidate {
    fn commit(&self, records: &[(String, Vec<u8>)]);
    fn read(&self) -> (u64, u64);
}

impl Candidate for Store {
    fn commit(&self, records: &[(String, Vec<u8>)]) {
        self.commit(records.iter().map(|(_, record)| record.as_slice())).expect("stored");
    }

    fn read(&self) -> (u64, u64) {
        let pieces =
            self.pieces(control_api::location::RECORDS_MAX).map(|piece| piece.expect("read"));
        let count = |bytes: &[u8]| sip_core::record::records(bytes).count() as u64;
        pieces.fold((0, 0), |(n, bytes), piece| (n + count(&piece), bytes + piece.len() as u64))
    }
}

impl Candidate for Database {
    fn commit(&self, records: &[(String, Vec<u8>)]) {
        let transaction = self.begin_write().expect("a transaction");
        {
            let mut table = transaction.open_table(TABLE).expect("a table");
            for (aor, record) in records {
                table.insert(aor.as_str(), record.as_slice()).expect("stored");
            }
        }
        transaction.commit().expect("stored");
    }

    fn read(&self) -> (u64, u64) {
        let transaction = self.begin_read().expect("a transaction");
        let table = transaction.open_table(TABLE).expect("a table");
        let entries = table.iter().expect("read").map(|entry| entry.expect("read").1.value().len());
        entries.fold((0, 0), |(n, bytes), length| (n + 1, bytes + length as u64))
    }
}

fn record(user: u32, cseq: u32) -> (String, Vec<u8>) {
    let aor = format!("user{:08}@example.com", user.wrapping_mul(2_654_435_761));
    let address = "192.0.2.7:5060".parse().expect("an address");
    let binding = BindingView {
        uri: b"sip:user00000000@192.0.2.7:5060;transport=udp",
        instance: b"\"<urn:uuid:00000000-0000-1000-8000-000000000000>\"",
        path: b"",
        expires_unix_ms: 1_800_000_000_000,
        call_id_hash: user.into(),
        cseq,
        reg_id: 0,
        q: 1_000,
        is_flow: false,
        source: address,
        listen: address,
        transport: sip_core::Transport::Udp,
    };
    let mut bytes = Vec::new();
    write(&aor, &[binding], &mut bytes).expect("a record");
    (aor, bytes)
}

fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").expect("proc");
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|text| text.parse().ok()).expect("a count")
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(name: &str, store: &dyn Candidate) {
    let mut random = SmallRng::seed_from_u64(1);
    let began = Instant::now();
    for first in (0..AORS).step_by(10_000) {
        store.commit(&(first..first + 10_000).map(|user| record(user, 1)).collect::<Vec<_>>());
    }
    println!("{name}: {AORS} AoRs stored in {:.1} s", began.elapsed().as_secs_f64());
    let before = written_bytes();
    let mut times: Vec<Duration> = (0..GROUPS)
        .map(|_| {
            let group = (0..GROUP).map(|_| record(random.random_range(0..AORS), 2));
            let group: Vec<_> = group.collect();
            let began = Instant::now();
            store.commit(&group);
            began.elapsed()
        })
        .collect();
    let total: Duration = times.iter().sum();
    times.sort();
    println!(
        "{name}: {:.0} records/s in groups of {GROUP}; a commit takes {:.2} ms in the middle, {:.2} ms for \
         99 %; {} bytes written for each record",
        (GROUP * GROUPS) as f64 / total.as_secs_f64(),
        times[GROUPS / 2].as_secs_f64() * 1e3,
        times[GROUPS * 99 / 100].as_secs_f64() * 1e3,
        (written_bytes() - before) / (GROUP * GROUPS) as u64,
    );
    let began = Instant::now();
    let (count, bytes) = store.read();
    assert_eq!(count, u64::from(AORS));
    let seconds = began.elapsed().as_secs_f64();
    println!("{name}: {count} records, {} MB, read in {seconds:.2} s", bytes >> 20);
}

#[test]
#[ignore = "a minute of measuring; for figures, not for right or wrong"]
fn stores_side_by_side() {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a folder");
    let fjall = Store::open(&folder.path().join("fjall")).expect("a store");
    measure("fjall", &fjall);
    let redb = redb::Builder::new().set_cache_size(256 << 20).create(folder.path().join("redb"));
    measure("redb", &redb.expect("a store"));
}
