//! The records of one time slice, one after the other, from a random stream of its own.
//!
//! A slice can be made again at any time: that is how an overlapping archive repeats the end of the one before it.

use crate::clock::{Clock, SECOND};
use crate::codes::{CipherAction, CipherStatus};
use crate::dice::{Dice, parts_per_million};
use crate::options::{GenerateOptions, Load, TimePrecision};
use crate::record::{Body, CipherDeed, Record};
use crate::schedule::Due;
use crate::session::Session;
use crate::world::World;

/// Clients at work at the same time, where the log is a quiet one.
const SESSIONS: usize = 6;
/// The same for a service under load: more than records in a window of DEFLATE, so that a client's record before is mostly
/// out of its sight.
const BUSY_SESSIONS: usize = 150;
/// Chance that a record is written a little early or late, in parts of a million.
const DISORDER: u32 = 60_000;
/// Chance of a field that no list names, in parts of a million.
const NOVELTY: u32 = 250;

/// How the records of a slice are made, apart from who and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    precision: TimePrecision,
    trace_ids: bool,
    load: Load,
    cipher_trust: u32,
    equal_pairs: u32,
}

impl Manner {
    pub(crate) fn of(options: &GenerateOptions) -> Self {
        Self {
            precision: options.precision,
            trace_ids: options.trace_ids,
            load: options.load,
            cipher_trust: parts_per_million(options.cipher_trust),
            equal_pairs: parts_per_million(options.equal_pairs),
        }
    }
}

/// Iterator over the records of a slice, nearly in order of time.
#[derive(Debug)]
pub(crate) struct SliceRecords<'w> {
    world: &'w World,
    manner: Manner,
    dice: Dice,
    clock: Clock,
    upcoming: Option<i64>,
    due: &'w [Due<'w>],
    sessions: Vec<Session<'w>>,
    previous: Option<Record<'w>>,
}

impl<'w> SliceRecords<'w> {
    /// `count` ordinary records between two times, and the planned deeds `due` on top.
    pub(crate) fn new(
        world: &'w World,
        manner: Manner,
        mut dice: Dice,
        span: (i64, i64),
        count: u64,
        due: &'w [Due<'w>],
    ) -> Self {
        let mut clock = Clock::new(span.0, span.1, count);
        let upcoming = clock.next(dice.word());
        let sessions = match manner.load {
            Load::Sessions => Vec::with_capacity(SESSIONS),
            // Small archives would hold little but logins if every client came in anew at the start of a slice.
            Load::Busy => (0..BUSY_SESSIONS).map(|_| Session::underway(world, span.0, &mut dice)).collect(),
        };
        Self { world, manner, dice, clock, upcoming, due, sessions, previous: None }
    }

    fn ordinary(&mut self, time: i64) -> Record<'w> {
        if let Some(previous) = self.previous
            && self.dice.chance(self.manner.equal_pairs)
        {
            return Record { twin: true, ..previous };
        }
        let body =
            if self.dice.chance(self.manner.cipher_trust) { self.cipher_trust() } else { self.at_a_partition(time) };
        let shift = if self.dice.chance(DISORDER) { self.dice.below(4 * SECOND as u64) as i64 - 2 * SECOND } else { 0 };
        let time = self.clock.clamp(time + shift);
        let record = self.seal(time, body);
        self.previous = Some(record);
        record
    }

    fn at_a_partition(&mut self, time: i64) -> Body<'w> {
        let comes = match self.manner.load {
            Load::Sessions if self.sessions.is_empty() => true,
            Load::Sessions => self.sessions.len() < SESSIONS && self.dice.chance(300_000),
            Load::Busy => self.sessions.len() < BUSY_SESSIONS,
        };
        if comes {
            self.sessions.push(Session::start(self.world, time, &mut self.dice));
        }
        let index = self.dice.below_len(self.sessions.len());
        let mut session = self.sessions.swap_remove(index);
        let deed = session.next(self.world, time, &mut self.dice);
        if !session.is_over() {
            self.sessions.push(session);
        }
        Body::Hsm(deed)
    }

    fn cipher_trust(&mut self) -> Body<'w> {
        let side = &self.world.cipher_trust;
        let action = self.dice.weighted(
            &[
                (CipherAction::GetKey, 40),
                (CipherAction::Encrypt, 30),
                (CipherAction::Login, 15),
                (CipherAction::CreateKey, 10),
                (CipherAction::DeleteKeyVersion, 3),
                (CipherAction::RegisterKmipClient, 2),
            ],
            CipherAction::GetKey,
        );
        let index = self.dice.below_len(side.users.len());
        Body::Cipher(CipherDeed {
            resource: &side.resource,
            tenant: &side.tenant,
            user: side.users.get(index).map(String::as_str).unwrap_or_default(),
            action,
            status: if self.dice.chance(20_000) { CipherStatus::Failure } else { CipherStatus::Success },
        })
    }

    /// Adds what every record has, whatever it is about.
    fn seal(&mut self, time: i64, body: Body<'w>) -> Record<'w> {
        let digits = match self.manner.precision {
            TimePrecision::Seconds => 0,
            TimePrecision::Millis => 3,
            TimePrecision::Micros => 6,
            TimePrecision::Mixed => self.dice.one(&[0, 3, 6], 6),
        };
        let unit = match digits {
            0 => SECOND,
            3 => 1_000,
            _ => 1,
        };
        let trace = self.manner.trace_ids.then(|| [(); 4].map(|()| self.dice.word()));
        Record {
            time: time - time.rem_euclid(unit),
            digits,
            body,
            trace,
            novelty: self.dice.chance(NOVELTY),
            salt: self.dice.word(),
            twin: false,
        }
    }
}

impl<'w> Iterator for SliceRecords<'w> {
    type Item = Record<'w>;

    fn next(&mut self) -> Option<Record<'w>> {
        if let Some((&(time, deed), rest)) = self.due.split_first()
            && self.upcoming.is_none_or(|upcoming| time <= upcoming)
        {
            self.due = rest;
            return Some(self.seal(time, Body::Hsm(deed)));
        }
        let time = self.upcoming?;
        let record = self.ordinary(time);
        self.upcoming = self.clock.next(self.dice.word());
        Some(record)
    }
}
