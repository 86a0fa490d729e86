//! A record as it is meant, before it is written in any form.

use crate::codes::{Action, CipherAction, CipherStatus, Role, Status};
use crate::world::{Actor, Address, Key, Partition};

/// The object that a record names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'w> {
    /// No `ouid` at all.
    Absent,
    /// `ouid` is null.
    Null,
    /// `ouid` is an empty text.
    Empty,
    /// A key, with its hexadecimal letters in lower or upper case.
    Key { key: &'w Key, upper: bool },
}

impl<'w> Target<'w> {
    pub(crate) fn key(self) -> Option<&'w Key> {
        match self {
            Self::Key { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// Something a client did in a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deed<'w> {
    pub(crate) actor: &'w Actor,
    pub(crate) address: Option<&'w Address>,
    pub(crate) partition: &'w Partition,
    pub(crate) module: &'w str,
    pub(crate) role: Role,
    pub(crate) action: Action,
    pub(crate) status: Status,
    pub(crate) target: Target<'w>,
}

/// Something a user did in CipherTrust.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CipherDeed<'w> {
    pub(crate) resource: &'w str,
    pub(crate) tenant: &'w str,
    pub(crate) user: &'w str,
    pub(crate) action: CipherAction,
    pub(crate) status: CipherStatus,
}

/// What a record is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'w> {
    Hsm(Deed<'w>),
    Cipher(CipherDeed<'w>),
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'w> {
    /// Microseconds since the epoch, already cut to the digits that are written.
    pub(crate) time: i64,
    /// Digits of a second: 0, 3 or 6.
    pub(crate) digits: u32,
    pub(crate) body: Body<'w>,
    pub(crate) trace: Option<[u64; 4]>,
    /// Carries a field that no list names.
    pub(crate) novelty: bool,
    /// A number of its own, for choices about its form.
    pub(crate) salt: u64,
    /// Made as an equal neighbour of the record before.
    pub(crate) twin: bool,
}
