//! What one cache line of a large table costs, and what it costs to copy a frame.

use crate::pipeline::cpu_seconds;
use anyhow::{Context, Result, anyhow, ensure};
use core_affinity::CoreId;
use memmap2::{Advice, MmapMut};
use serde::Serialize;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Table sizes in bytes: powers of two, from the first-level cache to more than any cache.
const TABLES: [u64; 8] =
    [64 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30, 4 << 30];
/// Pools of frames that are copied from: in the cache, and not.
const POOLS: [u64; 2] = [64 << 10, 256 << 20];
/// Largest table of a quick run.
const QUICK_MAX: u64 = 64 << 20;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Bytes of a copied frame.
const FRAME: u16 = 512;
/// Accesses between two looks at the clock.
const ACCESSES: u32 = 4_096;
/// A measurement is cut into so many parts, of which the median counts.
const PARTS: u32 = 15;
/// Knuth's MMIX generator (The Art of Computer Programming, volume 2, section 3.3.4): its high bits
/// choose the line.
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
const INCREMENT: u64 = 1_442_695_040_888_963_407;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MemoryCosts {
    pub(crate) touches: Vec<TouchCost>,
    pub(crate) copies: Vec<CopyCost>,
    /// The kernel's setting; with `never`, or where no memory is in one piece, what stands for huge pages was
    /// measured in pages of 4 KiB, too; with `always` it may be the other way round.
    pub(crate) transparent_hugepages: String,
}

/// One random cache line of a table.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct TouchCost {
    pub(crate) table_bytes: u64,
    /// In pages of 4 KiB, as the allocator gives them.
    pub(crate) small_pages: Touch,
    /// In pages of 2 MiB, as the kernel gives them on demand (`MADV_HUGEPAGE`).
    pub(crate) huge_pages: Touch,
}

/// Nanoseconds of one access.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Touch {
    /// When the next address depends on what was read: a chain, a tree.
    pub(crate) dependent_ns: f64,
    /// When addresses are known before, as in a burst whose lines are prefetched.
    pub(crate) independent_ns: f64,
}

/// Frames copied from random places of a pool to one place.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct CopyCost {
    pub(crate) pool_bytes: u64,
    pub(crate) ns_per_byte: f64,
}

/// The largest table that leaves three quarters of the free memory alone.
///
/// # Errors
/// When the kernel does not say how much that is.
pub(crate) fn largest(is_quick: bool) -> Result<u64> {
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let free = kib.context("/proc/meminfo has no MemAvailable")? * 1024;
    ensure!(free / 4 >= TABLES[0], "no memory is free for a table of {} bytes", TABLES[0]);
    Ok(if is_quick { QUICK_MAX.min(free / 4) } else { free / 4 })
}

/// Measures on `core` with tables up to `largest` bytes, each way for `length`.
///
/// # Errors
/// When the thread cannot be pinned.
pub(crate) fn measure(core: usize, largest: u64, length: Duration) -> Result<MemoryCosts> {
    let thread = std::thread::spawn(move || {
        ensure!(core_affinity::set_for_current(CoreId { id: core }), "cannot pin to lcore {core}");
        let fits = |bytes: &u64| *bytes <= largest;
        let touch = |bytes| -> Result<TouchCost> {
            Ok(TouchCost {
                table_bytes: bytes,
                small_pages: touch(&table(bytes, Advice::NoHugePage)?, length),
                huge_pages: touch(&table(bytes, Advice::HugePage)?, length),
            })
        };
        Ok(MemoryCosts {
            touches: TABLES.into_iter().filter(fits).map(touch).collect::<Result<_>>()?,
            copies: POOLS.into_iter().filter(fits).map(|bytes| copy(bytes, length)).collect(),
            transparent_hugepages: transparent_hugepages(),
        })
    });
    thread.join().map_err(|_| anyhow!("the memory thread ended"))?
}

fn transparent_hugepages() -> String {
    let text = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let chosen =
        text.ok().and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned()));
    chosen.unwrap_or_else(|| "unknown".to_owned())
}

/// A table whose lines all begin with [`INCREMENT`].
fn table(bytes: u64, pages: Advice) -> Result<MmapMut> {
    let mut table = MmapMut::map_anon(usize::try_from(bytes)?)?;
    let _ = table.advise(pages); // A kernel without huge pages refuses, and says so in its setting.
    for line in table.chunks_exact_mut(LINE) {
        line[..8].copy_from_slice(&INCREMENT.to_ne_bytes()); // Written, so that every page is there.
    }
    Ok(table)
}

/// The beginning of the line that `state` chooses.
fn read(lines: &[[u8; LINE]], state: u64) -> u64 {
    let line = usize::try_from(state >> (u64::BITS - lines.len().ilog2())).unwrap_or(0);
    lines[line].first_chunk().map_or(0, |first| u64::from_ne_bytes(*first))
}

fn touch(table: &MmapMut, length: Duration) -> Touch {
    let (lines, _) = table.as_chunks();
    let mut state = INCREMENT;
    let dependent_ns = median_ns(length, || {
        for _ in 0..ACCESSES {
            state = state.wrapping_mul(MULTIPLIER).wrapping_add(read(lines, state));
        }
    });
    let mut sum = 0;
    let independent_ns = median_ns(length, || {
        for _ in 0..ACCESSES {
            state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
            sum ^= read(lines, state);
        }
    });
    black_box((state, sum));
    Touch { dependent_ns, independent_ns }
}

fn copy(bytes: u64, length: Duration) -> CopyCost {
    let pool = vec![1_u8; usize::try_from(bytes).unwrap_or(usize::MAX)];
    const BYTES: usize = FRAME as usize;
    let frames = pool.len() / BYTES;
    let shift = u64::BITS - frames.ilog2();
    let (mut state, mut target) = (INCREMENT, [0_u8; BYTES]);
    let ns = median_ns(length, || {
        for _ in 0..ACCESSES {
            state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
            let start = usize::try_from(state >> shift).unwrap_or(0) * BYTES;
            target.copy_from_slice(&pool[start..start + BYTES]);
            black_box(&mut target);
        }
    });
    CopyCost { pool_bytes: bytes, ns_per_byte: ns / f64::from(FRAME) }
}

/// Nanoseconds of one of the [`ACCESSES`] in `round`: the median of the parts of `length`, by the time that
/// the kernel gave to the thread.
fn median_ns(length: Duration, mut round: impl FnMut()) -> f64 {
    round(); // Warm-up.
    let mut parts: Vec<f64> = (0..PARTS)
        .map(|_| {
            let (began, cpu, mut rounds) = (Instant::now(), cpu_seconds(), 0_u32);
            while rounds == 0 || began.elapsed() < length / PARTS {
                round();
                rounds += 1;
            }
            (cpu_seconds() - cpu) * 1e9 / (f64::from(rounds) * f64::from(ACCESSES))
        })
        .collect();
    parts.sort_by(f64::total_cmp);
    parts[parts.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_table_can_be_chosen() {
        let mut table = vec![[0_u8; LINE]; 1024];
        for (line, number) in table.iter_mut().zip(0_u64..) {
            line[..8].copy_from_slice(&number.to_ne_bytes());
        }
        let (mut state, mut seen) = (INCREMENT, std::collections::BTreeSet::new());
        for _ in 0..20 * table.len() {
            state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
            seen.insert(read(&table, state));
        }
        assert_eq!(seen.len(), table.len());
    }

    #[test]
    fn a_small_table_is_measured() {
        let small = table(64 << 10, Advice::NoHugePage).expect("memory");
        let cost = touch(&small, Duration::from_millis(15));
        assert!(cost.dependent_ns > 0.0 && cost.independent_ns > 0.0, "{cost:?}");
        assert!(copy(64 << 10, Duration::from_millis(15)).ns_per_byte > 0.0);
    }
}
