//! Which instructions the kernels use: found once, lowered by `UNISONO_SIMD`, dispatched here alone.

use std::fmt;
use std::sync::OnceLock;

use fearless_simd::{Level, Simd};

/// Names the instruction set that the kernels run on. It changes speed and no bit of a result.
///
/// The environment variable `UNISONO_SIMD` (`avx512`, `avx2`, `neon` or `fallback`, in any case), read
/// once per process, lowers it; a level that this CPU lacks is passed over. Any other value lowers
/// nothing, of which `tracing` hears a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimdLevel {
    /// 512-bit vectors (Ice Lake and later, Zen 4 and later).
    Avx512,
    /// 256-bit vectors with fused multiply-add (x86-64-v3).
    Avx2,
    /// 128-bit vectors of AArch64.
    Neon,
    /// Scalar code with an emulated fused multiply-add, for every CPU: the same bits, slowly.
    Fallback,
}

impl SimdLevel {
    /// Every level, fastest first.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Fallback];

    /// The level that this process runs on.
    pub fn current() -> Self {
        active().0
    }

    /// Whether this CPU has the level's instructions.
    pub fn is_available(self) -> bool {
        level_of(self).is_some()
    }
}

impl fmt::Display for SimdLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Fallback => "fallback",
        })
    }
}

impl std::str::FromStr for SimdLevel {
    type Err = crate::Error;

    fn from_str(name: &str) -> crate::Result<Self> {
        let named = |level: &Self| level.to_string().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            crate::Error::config(
                "UNISONO_SIMD",
                format!("expected avx512, avx2, neon or fallback, found {name:?}"),
            )
        })
    }
}

pub(crate) fn level_of(level: SimdLevel) -> Option<Level> {
    let best = Level::new();
    match level {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        SimdLevel::Avx512 => best.as_avx512().map(Level::Avx512),
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        SimdLevel::Avx2 => best.as_avx2().map(Level::Avx2),
        #[cfg(target_arch = "aarch64")]
        SimdLevel::Neon => best.as_neon().map(Level::Neon),
        SimdLevel::Fallback => Some(Level::fallback()),
        _ => {
            let _ = best;
            None
        }
    }
}

/// The level that the environment asks for; a variable that is set to nothing asks for none.
fn asked() -> Option<SimdLevel> {
    let name = std::env::var_os("UNISONO_SIMD").filter(|name| !name.is_empty())?;
    let level = name.to_string_lossy().parse();
    if let Err(error) = &level {
        tracing::warn!(%error, "the SIMD level is not lowered");
    }
    level.ok()
}

/// The process's level, with the token that proves it.
pub(crate) fn active() -> (SimdLevel, Level) {
    static ACTIVE: OnceLock<(SimdLevel, Level)> = OnceLock::new();
    *ACTIVE.get_or_init(|| {
        let asked = asked();
        let start = SimdLevel::ALL.iter().position(|&l| Some(l) == asked).unwrap_or(0);
        SimdLevel::ALL[start..]
            .iter()
            .find_map(|&l| level_of(l).map(|token| (l, token)))
            .unwrap_or((SimdLevel::Fallback, Level::fallback()))
    })
}

/// What a level's registers are like. Constants, so that nothing is compiled for a level that does not use it.
pub(crate) trait Registers: Simd {
    /// Whether a panel's row is one register: then there are 32 of them, enough for tiles of 13 x 2 and 8 x 3.
    const WIDE: bool = false;
    /// Whether multiply-adds are emulated one by one: then the smallest tile does as well as any.
    const EMULATED: bool = false;
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
impl Registers for fearless_simd::Avx512 {
    const WIDE: bool = true;
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
impl Registers for fearless_simd::Avx2 {}

#[cfg(target_arch = "aarch64")]
impl Registers for fearless_simd::Neon {}

impl Registers for fearless_simd::Fallback {
    const EMULATED: bool = true;
}

/// Runs `f`: where vectors are emulated, in a function of its own.
#[inline(always)]
pub(crate) fn run_apart<S: Registers, R>(_simd: S, f: impl FnOnce() -> R) -> R {
    #[inline(never)]
    fn called<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
    match S::EMULATED {
        true => called(f),
        false => f(),
    }
}

/// An expression that is a function of its own where vectors are emulated: `apart!(simd => expression)`. There
/// every operation stands for sixteen, and a helper that is written out at each of its uses is optimized anew
/// at each, which took nearly half of the time to compile the crate.
macro_rules! apart {
    ($simd:ident => $op:expr) => {
        $crate::simd::level::run_apart(
            $simd,
            #[inline(always)]
            || $op,
        )
    };
}

/// Runs an expression compiled for the process's level: `dispatch!(simd => kernel(simd, args))`.
/// Kernels are `#[inline(always)]` functions generic over `S: Registers`.
macro_rules! dispatch {
    ($simd:ident => $op:expr) => {
        $crate::simd::dispatch_at!($crate::simd::level::active().1, $simd => $op)
    };
}

/// `dispatch!` at a given level, for tests that compare levels.
macro_rules! dispatch_at {
    ($level:expr, $simd:ident => $op:expr) => {{
        let level: fearless_simd::Level = $level;
        match level {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            fearless_simd::Level::Avx512($simd) => fearless_simd::Simd::vectorize(
                $simd,
                #[inline(always)]
                || $op,
            ),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            fearless_simd::Level::Avx2($simd) => fearless_simd::Simd::vectorize(
                $simd,
                #[inline(always)]
                || $op,
            ),
            #[cfg(target_arch = "aarch64")]
            fearless_simd::Level::Neon($simd) => fearless_simd::Simd::vectorize(
                $simd,
                #[inline(always)]
                || $op,
            ),
            _ => {
                let $simd = fearless_simd::Fallback::new();
                fearless_simd::Simd::vectorize(
                    $simd,
                    #[inline(always)]
                    || $op,
                )
            }
        }
    }};
}
pub(crate) use {apart, dispatch, dispatch_at};
