//! Carrying everything from one store to another, and comparing the two.

use model::{Error, ErrorCode, Result};
use uuid::Uuid;

use super::{
    Transfer,
    cursor::{Cursor, Part},
    digest::{Digests, digest_all},
    mark::{Mark, MarkStage},
};

/// What there is to tell while everything is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferProgress {
    /// An earlier run came as far as this part; this one goes on there.
    Resumed(Part),
    /// So many records of a part were carried by this run.
    Copied(Part, u64),
    /// Everything is there and is put together.
    Deriving,
    /// So many records of both stores were read to compare them.
    Compared(u64),
}

/// What came of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferReport {
    /// Everything is there; both stores hold this.
    Complete(Digests),
    /// It was complete before this run, and the source has not changed since.
    WasComplete(Digests),
    /// The stores differ: the source was changed meanwhile. The target can't be used.
    Differs {
        /// What the source holds.
        source: Digests,
        /// What the target holds.
        target: Digests,
    },
    /// It was complete before this run, and the source has changed since.
    SourceChanged {
        /// What the source holds now.
        source: Digests,
        /// What was carried.
        carried: Digests,
    },
}

/// Carries everything from one store to another that is empty, or holds what an earlier run brought from the same source.
///
/// `run` is a new random id. The target can be opened for use only once all is there and both stores have the same digests.
/// Memory is bounded: a page of records of each store.
///
/// # Errors
/// `Conflict` when the target holds something else, when the source is itself half done, or when another run took over.
/// Else as reading and writing; the same transfer goes on from there when it is started again.
pub async fn transfer(
    source: &dyn Transfer,
    target: &dyn Transfer,
    run: Uuid,
    tell: &mut (dyn FnMut(TransferProgress) + Send),
) -> Result<TransferReport> {
    require_whole(source).await?;
    source.settle().await?;
    let name = source.store_id(run).await?;
    let mut mark = match take_over(target, (name, run)).await? {
        Begun::Goes(mark) => mark,
        Begun::WasComplete(carried) => return was_complete(source, *carried, tell).await,
    };
    if let MarkStage::Copying(cursor) = mark.stage.clone() {
        copy_all((source, target), &mut mark, cursor, tell).await?;
    }
    tell(TransferProgress::Deriving);
    target.derive_rest().await?;
    let (source, target_digests) = compare(source, target, tell).await?;
    if source != target_digests {
        return Ok(TransferReport::Differs {
            source,
            target: target_digests,
        });
    }
    mark.stage = MarkStage::Complete(Box::new(source));
    if target.put_mark(Some(run), &mark).await? {
        Ok(TransferReport::Complete(source))
    } else {
        Err(taken_over())
    }
}

async fn require_whole(source: &dyn Transfer) -> Result<()> {
    match source.mark().await? {
        Some(mark) if !matches!(mark.stage, MarkStage::Complete(_)) => {
            let message =
                "the source is itself the target of a migration that isn't complete; finish that one first";
            Err(Error::new(ErrorCode::Conflict, message))
        }
        Some(_) | None => Ok(()),
    }
}

enum Begun {
    /// This run goes on from the mark.
    Goes(Mark),
    WasComplete(Box<Digests>),
}

/// Makes the target this run's own, if it is empty or an earlier run's of the same source.
async fn take_over(target: &dyn Transfer, (source, run): (Uuid, Uuid)) -> Result<Begun> {
    let found = target.mark().await?;
    let stage = match &found {
        Some(found) if found.source == source => match &found.stage {
            MarkStage::Complete(digests) => return Ok(Begun::WasComplete(digests.clone())),
            stage @ (MarkStage::Copying(_) | MarkStage::Copied) => stage.clone(),
        },
        Some(found) if !matches!(found.stage, MarkStage::Complete(_)) => {
            let message =
                "the target is half filled from another source; finish that migration, or empty the target";
            return Err(Error::new(ErrorCode::Conflict, message));
        }
        Some(_) | None if target.is_empty().await? => MarkStage::Copying(Cursor::begin()),
        Some(_) | None => {
            let message = "the target holds data already; name one that is empty";
            return Err(Error::new(ErrorCode::Conflict, message));
        }
    };
    let mark = Mark { source, run, stage };
    if target.put_mark(found.map(|found| found.run), &mark).await? {
        Ok(Begun::Goes(mark))
    } else {
        Err(taken_over())
    }
}

async fn copy_all(
    (source, target): (&dyn Transfer, &dyn Transfer),
    mark: &mut Mark,
    mut cursor: Cursor,
    tell: &mut (dyn FnMut(TransferProgress) + Send),
) -> Result<()> {
    if cursor != Cursor::begin() {
        tell(TransferProgress::Resumed(cursor.part));
    }
    let mut copied: u64 = 0;
    loop {
        let page = source.read_records(&cursor).await?;
        copied = copied.saturating_add(count(page.records.len()));
        mark.stage = match &page.next {
            Some(next) => MarkStage::Copying(next.clone()),
            None => MarkStage::Copied,
        };
        target.write_records(page.records, mark).await?;
        tell(TransferProgress::Copied(cursor.part, copied));
        let Some(next) = page.next else {
            return Ok(());
        };
        if next.part != cursor.part {
            copied = 0;
        }
        cursor = next;
    }
}

/// Reads both stores at the same time.
async fn compare(
    source: &dyn Transfer,
    target: &dyn Transfer,
    tell: &mut (dyn FnMut(TransferProgress) + Send),
) -> Result<(Digests, Digests)> {
    let told = parking_lot::Mutex::new((0_u64, tell));
    let seen = |records: usize| {
        let mut told = told.lock();
        told.0 = told.0.saturating_add(count(records));
        let compared = TransferProgress::Compared(told.0);
        (told.1)(compared);
    };
    let (mut of_source, mut of_target) = (|records| seen(records), |records| seen(records));
    tokio::try_join!(
        digest_all(source, &mut of_source),
        digest_all(target, &mut of_target)
    )
}

async fn was_complete(
    source: &dyn Transfer,
    carried: Digests,
    tell: &mut (dyn FnMut(TransferProgress) + Send),
) -> Result<TransferReport> {
    let mut all: u64 = 0;
    let mut seen = |records: usize| {
        all = all.saturating_add(count(records));
        tell(TransferProgress::Compared(all));
    };
    let source = digest_all(source, &mut seen).await?;
    Ok(if source == carried {
        TransferReport::WasComplete(carried)
    } else {
        TransferReport::SourceChanged { source, carried }
    })
}

fn taken_over() -> Error {
    let message = "another run of this migration has begun meanwhile; let that one finish";
    Error::new(ErrorCode::Conflict, message)
}

fn count(records: usize) -> u64 {
    u64::try_from(records).unwrap_or(u64::MAX)
}
