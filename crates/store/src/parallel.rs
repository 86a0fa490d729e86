//! Work on several threads, with results in the order of the tasks.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Runs `work` on every task. `None` where it panicked, which a library below may do on hostile bytes.
pub(super) fn in_parallel<T: Sync, R: Send>(
    threads: NonZeroUsize,
    tasks: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<Option<R>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<R>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
    let take_turns = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (Some(task), Some(result)) = (tasks.get(number), results.get(number)) else {
                return;
            };
            let done = catch_unwind(AssertUnwindSafe(|| work(task))).ok();
            *result.lock().unwrap_or_else(PoisonError::into_inner) = done;
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get().min(tasks.len()) {
            // This thread works as well: where no other can be started, it does all of it.
            let _ = std::thread::Builder::new().spawn_scoped(scope, take_turns);
        }
        take_turns();
    });
    results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_tasks() {
        let tasks: Vec<u32> = (0..100).collect();
        for threads in [1, 2, 7, 200] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let doubled = in_parallel(threads, &tasks, |task| task * 2);
            assert!(doubled.into_iter().eq(tasks.iter().map(|task| Some(task * 2))));
        }
        assert!(in_parallel(NonZeroUsize::MIN, &[0_u8; 0], |_| ()).is_empty());
        let some = in_parallel(NonZeroUsize::MIN, &[1, 0, 2], |task| 4_i32.checked_div(*task).unwrap());
        assert_eq!(some, [Some(4), None, Some(2)]);
    }
}
