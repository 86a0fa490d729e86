//! Work on several threads, with results in the order of the tasks; and work in which a library below may panic.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Threads that read small files at most: each waits for the disk or parses.
const READERS_MAX: usize = 8;

/// Reads small files, of which each thread gets `per_thread` at least: one for fewer does not pay. What makes a thread panic is met again
/// by the caller.
pub(crate) fn read_in_parallel<T: Sync, R: Send>(
    per_thread: usize,
    files: &[T],
    read: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let done = in_parallel(readers(files.len().div_ceil(per_thread.max(1))), files, &read);
    done.into_iter().zip(files).map(|(done, file)| done.unwrap_or_else(|| read(file))).collect()
}

/// As many threads as there are cores, but no more than `most`.
pub(crate) fn readers(most: usize) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cores.min(READERS_MAX).min(most)).unwrap_or(NonZeroUsize::MIN)
}

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread does work of which a panic is told as damage of the file at hand: a program's hook need not tell it, too.
#[must_use]
pub fn is_guarded() -> bool {
    IS_GUARDED.get()
}

/// Runs `work`. `None` where it panicked, which a library below may do on hostile bytes.
pub(crate) fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    let before = IS_GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    IS_GUARDED.set(before);
    done
}

/// Runs `work` on every task. `None` where it panicked, which a library below may do on hostile bytes.
pub(crate) fn in_parallel<T: Sync, R: Send>(
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
            let done = guarded(|| work(task));
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
