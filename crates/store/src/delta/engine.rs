//! The engine that the Delta library works with: all of it on the thread that calls.
//!
//! The library's own engine, with two parts of ours. Its futures are of files that are at hand: they are ready as soon as they are asked, so
//! nothing is won by a runtime, whose threads and files a system may refuse; and a runtime of which a thread is missing ends in a panic, or
//! never. Its writer of Parquet files wants a runtime, too, and so is replaced.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Thread, current, park};

use arrow::array::RecordBatch;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::schema::SchemaRef;
use delta_kernel::{
    Engine as _, EngineData, EvaluationHandler, FileDataReadResultIterator, FileMeta, FileSize, JsonHandler,
    KernelError, KernelResult, KernelResultIteratorStatic, ParquetFooter, ParquetHandler, PredicateRef, StorageHandler,
};
use delta_kernel_default_engine::executor::TaskExecutor;
use delta_kernel_default_engine::{DefaultEngine, DefaultEngineBuilder};
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use object_store::path::Path as ObjectPath;
use object_store::{DynObjectStore, ObjectStoreExt as _};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use url::Url;

/// Files that are open at once. More would wait for each other all the same.
const OPEN_FILES: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN;

/// The engine. Not to be used inside a runtime: object stores would hand their work to its threads.
pub(super) struct Engine {
    library: DefaultEngine<ThisThread>,
    parquet: Arc<ParquetFiles>,
}

impl Engine {
    pub(super) fn on(store: Arc<DynObjectStore>) -> Self {
        let builder = DefaultEngineBuilder::new(Arc::clone(&store)).with_task_executor(Arc::new(ThisThread));
        let library = builder.with_buffer_size(OPEN_FILES).build();
        let parquet = ParquetFiles { reader: library.parquet_handler(), store };
        Self { library, parquet: Arc::new(parquet) }
    }
}

impl delta_kernel::Engine for Engine {
    fn evaluation_handler(&self) -> Arc<dyn EvaluationHandler> {
        self.library.evaluation_handler()
    }

    fn storage_handler(&self) -> Arc<dyn StorageHandler> {
        self.library.storage_handler()
    }

    fn json_handler(&self) -> Arc<dyn JsonHandler> {
        self.library.json_handler()
    }

    fn parquet_handler(&self) -> Arc<dyn ParquetHandler> {
        Arc::<ParquetFiles>::clone(&self.parquet)
    }
}

/// Checkpoints: read as the library reads them, written whole.
struct ParquetFiles {
    reader: Arc<dyn ParquetHandler>,
    store: Arc<DynObjectStore>,
}

impl ParquetHandler for ParquetFiles {
    fn read_parquet_files(
        &self,
        files: &[FileMeta],
        physical_schema: SchemaRef,
        predicate: Option<PredicateRef>,
    ) -> KernelResult<FileDataReadResultIterator> {
        self.reader.read_parquet_files(files, physical_schema, predicate)
    }

    fn write_parquet_file(
        &self,
        location: Url,
        data: KernelResultIteratorStatic<Box<dyn EngineData>>,
    ) -> KernelResult<FileSize> {
        let path = ObjectPath::from_url_path(location.path())?;
        let mut writer: Option<ArrowWriter<Vec<u8>>> = None;
        for rows in data {
            let rows: RecordBatch = (*ArrowEngineData::try_from_engine_data(rows?)?).into();
            let writer = match &mut writer {
                Some(writer) => writer,
                // As the library's writer has it.
                None => writer.insert(ArrowWriter::try_new_with_options(
                    Vec::new(),
                    rows.schema(),
                    ArrowWriterOptions::new().with_skip_arrow_metadata(true),
                )?),
            };
            writer.write(&rows)?;
        }
        let bytes = writer.ok_or_else(|| KernelError::generic("a checkpoint without rows"))?.into_inner()?;
        let length = bytes.len() as FileSize;
        wait_for(self.store.put(&path, bytes.into()))?;
        Ok(length)
    }

    fn read_parquet_footer(&self, file: &FileMeta) -> KernelResult<ParquetFooter> {
        self.reader.read_parquet_footer(file)
    }
}

/// Runs each future where it is asked for, one within another where need be.
#[derive(Debug)]
struct ThisThread;

impl TaskExecutor for ThisThread {
    type Guard<'a> = ();

    fn block_on<T>(&self, task: T) -> T::Output
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        wait_for(task)
    }

    fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        wait_for(task);
    }

    fn spawn_blocking<T, R>(&self, task: T) -> BoxFuture<'_, KernelResult<R>>
    where
        T: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        ready(Ok(task())).boxed()
    }

    fn enter(&self) {}
}

/// Waits on this thread until a future is ready.
fn wait_for<F: Future>(task: F) -> F::Output {
    let signal = Arc::new(Signal { was_given: AtomicBool::new(false), waiting: current() });
    let waker = Waker::from(Arc::clone(&signal));
    let mut task = pin!(task);
    loop {
        if let Poll::Ready(output) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !signal.was_given.swap(false, Ordering::Acquire) {
            park();
        }
    }
}

/// Wakes a thread that waits. Futures that wait within each other on one thread tell their signals apart by the flag.
struct Signal {
    was_given: AtomicBool,
    waiting: Thread,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.was_given.store(true, Ordering::Release);
        self.waiting.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is ready when it was asked so many times, and wakes as often.
    async fn after(asked: usize) -> usize {
        let mut left = asked;
        futures::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(asked);
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    #[test]
    fn futures_are_waited_for_within_each_other() {
        let nested = async { after(2).await + wait_for(after(3)) + after(1).await };
        assert_eq!(wait_for(nested), 6);
        let woken_before = futures::future::poll_fn({
            let mut is_first = true;
            move |context| {
                if !std::mem::take(&mut is_first) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                // It takes the permit to go on, and not the signal.
                wait_for(after(1));
                Poll::Pending
            }
        });
        wait_for(woken_before);
    }

    #[test]
    fn another_thread_may_wake() {
        let (sender, receiver) = futures::channel::oneshot::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || sender.send(7).unwrap());
            assert_eq!(wait_for(receiver), Ok(7));
        });
    }
}
