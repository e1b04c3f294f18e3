//! Whether this thread calls an observer: it then holds the observer's lock, which others may want.

use std::cell::Cell;

thread_local! {
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// As long as it lives, this thread calls observers.
pub(super) struct Calling(bool);

impl Calling {
    /// `here` says that this is the thread of who called the trainer. In the trainer's own pool nobody else has work.
    pub fn observers(here: bool) -> Self {
        Self(CALLING.replace(here || CALLING.get()))
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        CALLING.set(self.0);
    }
}

/// Whether this thread must not wait for others, also of another pool: a rayon worker that waits takes up what else
/// its pool has to do. If that is a training with the observer whose lock the worker holds, both stand still for good.
pub(crate) fn must_not_wait() -> bool {
    CALLING.get() && rayon::current_thread_index().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::catch;
    use crate::train::pool::pool;

    #[test]
    fn only_a_worker_that_calls_must_not_wait() {
        let calls = |here| {
            let _calling = Calling::observers(here);
            must_not_wait()
        };
        assert_eq!([true, false].map(calls), [false; 2], "no worker");
        let pool = pool(2).unwrap();
        assert_eq!([true, false].map(|here| pool.install(|| calls(here))), [true, false]);
    }

    #[test]
    fn a_call_ends_also_by_a_panic_and_then_the_one_around_it_goes_on() {
        pool(2).unwrap().install(|| {
            let outer = Calling::observers(true);
            catch(|| {
                let _inner = Calling::observers(false);
                assert!(must_not_wait());
                panic!("an observer's");
            })
            .unwrap_err();
            assert!(must_not_wait());
            drop(outer);
            assert!(!must_not_wait());
        });
    }
}
