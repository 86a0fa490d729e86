//! The runtime that queries run on, with all its threads or not at all.

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use keytrail_query::STACK_BYTES;
use tokio::runtime::{Builder, Runtime};

/// Starts so many threads to work, and one to read files.
///
/// Where the system refuses a thread, tokio panics, and never ends: it waits for the threads that it has. So it starts them on a thread that may
/// be left behind, and the panic itself is what tells.
pub(crate) fn start(threads: usize) -> anyhow::Result<Runtime> {
    let (sender, receiver) = channel();
    let panicked = sender.clone();
    let usual_hook = take_hook();
    set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        let _ = panicked.send(Err(anyhow!("{}", panic.payload_as_str().unwrap_or("the runtime panicked"))));
    }));
    let started = thread::Builder::new().spawn(move || {
        let _ = sender.send(build(threads).map_err(anyhow::Error::from));
    });
    let runtime = started.map_err(anyhow::Error::from).and_then(|_| receiver.recv()?);
    set_hook(usual_hook);
    runtime.context("starting threads")
}

fn build(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_stack_size(STACK_BYTES);
    // The thread that reads stays. Where no other is to be had then, it reads all; where there was none, reading would panic.
    let runtime = builder.enable_all().thread_keep_alive(Duration::MAX).build()?;
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

#[cfg(test)]
mod tests {
    #[test]
    fn threads_work_and_read() {
        let runtime = super::start(2).unwrap();
        let read = runtime.block_on(async {
            let worked = tokio::spawn(async { tokio::task::spawn_blocking(|| 7).await });
            worked.await.unwrap().unwrap()
        });
        assert_eq!(read, 7);
    }
}
