//! Which archives are decoded: each content once, none that the store has settled. The answer does not depend on threads.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Archives that the store has seen and that no run would deal with in another way, by SHA-256; with what to tell about those that
/// failed.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    archives: HashMap<String, Option<String>>,
    lengths: HashSet<u64>,
}

impl Settled {
    pub(crate) fn add(&mut self, sha256: String, bytes: u64, notice: Option<String>) {
        self.archives.insert(sha256, notice);
        self.lengths.insert(bytes);
    }

    /// Whether an archive of this length may be settled.
    pub(crate) fn has_length(&self, bytes: u64) -> bool {
        self.lengths.contains(&bytes)
    }
}

/// The answer to a claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// To be decoded. Should a file found earlier turn out to be equal, that one counts.
    Granted,
    /// Equal to a file found earlier.
    Repeated,
    /// The store has it; with what to tell about it.
    Settled(Option<String>),
}

/// Who decodes which content. Of equal files the first one in the order of discovery does.
pub(crate) struct Claims<'a> {
    settled: &'a Settled,
    /// Position of the file, by SHA-256.
    owners: Mutex<HashMap<String, usize>>,
}

impl<'a> Claims<'a> {
    pub(crate) fn new(settled: &'a Settled) -> Self {
        Self { settled, owners: Mutex::default() }
    }

    /// Claims a content for the file at a position. A claim granted before to a later file is lost by that.
    pub(crate) fn claim(&self, sha256: &str, position: usize) -> Claim {
        if let Some(notice) = self.settled.archives.get(sha256) {
            return Claim::Settled(notice.clone());
        }
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        match owners.get_mut(sha256) {
            Some(owner) if *owner < position => Claim::Repeated,
            Some(owner) => {
                *owner = position;
                Claim::Granted
            }
            None => {
                owners.insert(sha256.to_owned(), position);
                Claim::Granted
            }
        }
    }

    /// Gives a content back that could not be read where it was claimed: whoever claims it next decodes it.
    pub(crate) fn give_back(&self, sha256: &str) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).remove(sha256);
    }
}

/// The name of an archive that is being decoded: its SHA-256, which may still be in the making.
#[derive(Debug, Default)]
pub(crate) struct ArchiveId(OnceLock<Option<String>>);

impl ArchiveId {
    pub(crate) fn of(sha256: &str) -> Self {
        Self(OnceLock::from(Some(sha256.to_owned())))
    }

    /// Tells the name; `None` where the archive need not be decoded after all. The first word holds.
    pub(crate) fn settle(&self, sha256: Option<&str>) {
        // A second word is not wanted: see above.
        let _ = self.0.set(sha256.map(str::to_owned));
    }

    /// The name. Waits for it.
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.0.wait().as_deref()
    }

    /// Whether it is known that the archive need not be decoded.
    pub(crate) fn is_void(&self) -> bool {
        matches!(self.0.get(), Some(None))
    }
}

/// Settles a name at the latest when it is dropped, so that nobody waits for it in vain.
pub(crate) struct Naming<'a>(pub(crate) &'a ArchiveId);

impl Drop for Naming<'_> {
    fn drop(&mut self) {
        self.0.settle(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_files_the_first_found_is_decoded_in_whatever_order_they_come() {
        let settled = Settled::default();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let claims = Claims::new(&settled);
            let granted: Vec<usize> =
                order.into_iter().filter(|position| claims.claim("same", *position) == Claim::Granted).collect();
            assert!(granted.contains(&0) && granted.is_sorted_by(|one, next| one > next), "{order:?}: {granted:?}");
            claims.give_back("same");
            assert_eq!([2, 1, 2].map(|position| claims.claim("same", position) == Claim::Granted), [true, true, false]);
        }
    }

    #[test]
    fn what_the_store_has_settled_is_not_decoded() {
        let mut settled = Settled::default();
        settled.add("stored".into(), 7, None);
        settled.add("failed".into(), 8, Some("why".into()));
        let claims = Claims::new(&settled);
        assert_eq!(claims.claim("stored", 0), Claim::Settled(None));
        assert_eq!(claims.claim("failed", 1), Claim::Settled(Some("why".into())));
        assert_eq!(claims.claim("new", 2), Claim::Granted);
        assert_eq!([7, 8, 9].map(|bytes| settled.has_length(bytes)), [true, true, false]);
    }

    #[test]
    fn a_name_that_never_comes_is_not_waited_for() {
        let id = ArchiveId::default();
        assert!(!id.is_void());
        std::thread::scope(|scope| {
            scope.spawn(|| drop(Naming(&id)));
            assert_eq!(id.sha256(), None);
        });
        assert!(id.is_void());
    }
}
