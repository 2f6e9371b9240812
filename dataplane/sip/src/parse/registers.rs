//! The widest registers of the CPU, for finding line ends: AVX-512 where the CPU has it, else what
//! the build is for (AVX2 by default on x86-64, NEON on ARM), and plain arithmetic elsewhere.

use wide::u8x32;

/// Bytes looked at in one step: a bit for each in a word.
pub(crate) const BLOCK: usize = u64::BITS as usize;

/// Registers that compare a block at a time.
pub(crate) trait Registers: Copy {
    /// A bit for each CR, and one for each LF, among the bytes of `block`.
    fn line_breaks(self, block: &[u8; BLOCK]) -> (u64, u64);
}

/// What the build is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compiled;

impl Registers for Compiled {
    #[inline(always)]
    fn line_breaks(self, block: &[u8; BLOCK]) -> (u64, u64) {
        let (halves, _) = block.as_chunks::<32>();
        let mask = |byte| {
            halves.iter().rev().fold(0, |mask, &half| {
                let equal = u8x32::new(half).simd_eq(u8x32::splat(byte));
                mask << 32 | u64::from(equal.to_bitmask())
            })
        };
        (mask(b'\r'), mask(b'\n'))
    }
}

/// What is done with the registers.
pub(crate) trait Work {
    /// What comes of it.
    type Output;

    /// Does it; to be inlined, so that all of it is compiled for these registers.
    fn run<R: Registers>(self, registers: R) -> Self::Output;
}

/// Does `work` with the widest registers of this CPU, which is asked once.
#[inline(always)]
pub(crate) fn with_widest<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(registers) = pulp::x86::V4::try_new() {
        return registers.vectorize(avx512::Vectorized { registers, work });
    }
    work.run(Compiled)
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use pulp::NullaryFnOnce;
    use pulp::x86::V4;

    use super::{BLOCK, Registers, Work};

    /// Having a `V4` proves that the CPU has registers of 64 bytes.
    impl Registers for V4 {
        #[inline(always)]
        fn line_breaks(self, block: &[u8; BLOCK]) -> (u64, u64) {
            let bytes = pulp::cast(*block);
            let splat = |byte: u8| self.avx512f._mm512_set1_epi8(byte.cast_signed());
            let mask = |byte| self.avx512bw._mm512_cmpeq_epi8_mask(bytes, splat(byte));
            (mask(b'\r'), mask(b'\n'))
        }
    }

    /// Work as code that may use the registers.
    pub(super) struct Vectorized<W> {
        pub(super) registers: V4,
        pub(super) work: W,
    }

    impl<W: Work> NullaryFnOnce for Vectorized<W> {
        type Output = W::Output;

        #[inline(always)]
        fn call(self) -> W::Output {
            self.work.run(self.registers)
        }
    }
}
